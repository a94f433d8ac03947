-- The runs, one row each. A row whose status differs from what chip_scores shows is left out: its
-- publisher or the withdrawal has not updated it yet.
-- Made from sql/published/runs.sql by: python -m schemas.render
SELECT
  *
FROM forest_chips.all_runs
WHERE
  CASE
    WHEN run_id IN (
      SELECT
        run_id
      FROM forest_chips.chip_scores
    )
    THEN status = 'published'
    ELSE status <> 'published' OR scored = 0
  END
