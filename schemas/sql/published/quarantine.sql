-- The quarantined chips of published runs: runs with rows in chip_scores, and runs without a
-- single score whose row in runs has the status published.
SELECT *
FROM all_quarantine
WHERE
  run_id IN (SELECT run_id FROM chip_scores)
  OR run_id IN (SELECT run_id FROM all_runs WHERE status = 'published' AND scored = 0)
