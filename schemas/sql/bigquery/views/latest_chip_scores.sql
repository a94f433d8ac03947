-- One row per chip: its scores in the newest publication, with the newest labels of these scores.
-- A score is as new as the run that computed it. While that run has no row of its own yet (it is
-- written last), the time of scoring is used instead. A relabelling publishes the same scores again
-- (same chip_uri and scored_at), which makes none of them newer: of the rows of one score, the one
-- published last counts, as soon as its run has its row.
-- Made from sql/views/latest_chip_scores.sql by: python -m schemas.render
WITH publications AS (
  SELECT
    chip_scores.chip_uri,
    chip_scores.run_id,
    chip_scores.scored_at,
    runs.published_at,
    MIN(CASE WHEN runs.kind <> 'relabel' THEN runs.published_at END) OVER (PARTITION BY chip_scores.chip_uri, chip_scores.scored_at) AS score_published_at
  FROM forest_chips.chip_scores
  LEFT JOIN forest_chips.runs
    ON runs.run_id = chip_scores.run_id
), newest AS (
  SELECT
    chip_uri,
    run_id,
    scored_at
  FROM publications
  WHERE
    TRUE
  QUALIFY
    ROW_NUMBER() OVER (
      PARTITION BY chip_uri
      ORDER BY COALESCE(score_published_at, scored_at) DESC, scored_at DESC, published_at DESC, run_id DESC
    ) = 1
)
SELECT
  chip_scores.*
  REPLACE (ST_GEOGFROMWKB(chip_scores.geometry) AS geometry)
FROM forest_chips.chip_scores
JOIN newest
  ON newest.chip_uri = chip_scores.chip_uri
  AND newest.run_id = chip_scores.run_id
  AND newest.scored_at = chip_scores.scored_at
