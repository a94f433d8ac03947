-- The latest run_date of a published run, whether or not that night had a chip to score.
-- One row; none if nothing is published. A run that failed, is held or was withdrawn has no rows in
-- the tables, so it makes no night. Nor does a relabelling, whose rows keep their nights. A replay
-- does: its rows are of the night that it was given. Nights of rows count, too, because a run gets
-- its row in runs after its other rows.
SELECT run_date
FROM (
  SELECT run_date FROM runs WHERE status = 'published' AND kind <> 'relabel'
  UNION ALL
  SELECT run_date FROM chip_scores
  UNION ALL
  SELECT run_date FROM quarantine
) AS nights
ORDER BY run_date DESC
LIMIT 1
