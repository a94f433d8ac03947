-- The latest run_date of a published run, whether or not that night had a chip to score.
-- One row; none if nothing is published. A run that failed, is held or was withdrawn has no rows in
-- the tables, so it makes no night. Nor does a relabelling, whose rows keep their nights. A replay
-- does: its rows are of the night that it was given. Nights of rows count, too, because a run gets
-- its row in runs after its other rows.
-- Made from sql/views/last_night.sql by: python -m schemas.render
SELECT
  run_date
FROM (
  SELECT
    run_date
  FROM forest_chips.runs
  WHERE
    status = 'published' AND kind <> 'relabel'
  UNION ALL
  SELECT
    run_date
  FROM forest_chips.chip_scores
  UNION ALL
  SELECT
    run_date
  FROM forest_chips.quarantine
) AS nights
ORDER BY
  run_date DESC
LIMIT 1
