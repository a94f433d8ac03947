-- One row a chip: its scores in the newest publication.
-- A run is as new as its publication; while the run's own row is not written yet (it comes last),
-- the time of scoring stands in for it.
SELECT chip_scores.*
FROM chip_scores
LEFT JOIN runs
  ON runs.run_date = chip_scores.run_date AND runs.run_id = chip_scores.run_id
QUALIFY row_number() OVER (
  PARTITION BY chip_scores.chip_uri
  ORDER BY
    coalesce(runs.published_at, chip_scores.scored_at) DESC,
    chip_scores.scored_at DESC,
    chip_scores.run_id DESC
) = 1
