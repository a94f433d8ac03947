-- The runs, a row each. A row that claims another state than chip_scores shows is one whose
-- publisher or withdrawer has not come to it yet: it is left out.
SELECT *
FROM all_runs
WHERE
  CASE
    WHEN run_id IN (SELECT run_id FROM chip_scores) THEN status = 'published'
    ELSE status <> 'published' OR scored = 0
  END
