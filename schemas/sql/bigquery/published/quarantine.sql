-- The quarantined chips of published runs: runs with rows in chip_scores, and runs without a
-- single score whose row in runs has the status published.
-- Made from sql/published/quarantine.sql by: python -m schemas.render
SELECT
  *
FROM forest_chips.all_quarantine
WHERE
  run_id IN (
    SELECT
      run_id
    FROM forest_chips.chip_scores
  )
  OR run_id IN (
    SELECT
      run_id
    FROM forest_chips.all_runs
    WHERE
      status = 'published' AND scored = 0
  )
