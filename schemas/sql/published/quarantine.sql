-- The quarantined chips of published runs: those with rows in chip_scores, and those without a
-- single score whose row in runs says published.
SELECT *
FROM all_quarantine
WHERE
  run_id IN (SELECT run_id FROM chip_scores)
  OR run_id IN (SELECT run_id FROM all_runs WHERE status = 'published' AND scored = 0)
