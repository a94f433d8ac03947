-- The runs, one row each. A row whose status differs from what chip_scores shows is left out: its
-- publisher or the withdrawal has not updated it yet.
SELECT *
FROM all_runs
WHERE
  CASE
    WHEN run_id IN (SELECT run_id FROM chip_scores) THEN status = 'published'
    ELSE status <> 'published' OR scored = 0
  END
