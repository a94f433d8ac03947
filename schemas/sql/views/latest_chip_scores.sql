-- One row per chip: its scores in the newest publication, with the newest labels of these scores.
-- A score is as new as the run that computed it. While that run has no row of its own yet (it is
-- written last), the time of scoring is used instead. A relabelling publishes the same scores again
-- (same chip_uri and scored_at), which makes none of them newer: of the rows of one score, the one
-- published last counts, as soon as its run has its row.
WITH publications AS (
  SELECT
    chip_scores.chip_uri,
    chip_scores.run_id,
    chip_scores.scored_at,
    runs.published_at,
    min(CASE WHEN runs.kind <> 'relabel' THEN runs.published_at END)
      OVER (PARTITION BY chip_scores.chip_uri, chip_scores.scored_at) AS score_published_at
  FROM chip_scores
  LEFT JOIN runs ON runs.run_id = chip_scores.run_id
),
newest AS (
  SELECT chip_uri, run_id, scored_at
  FROM publications
  QUALIFY row_number() OVER (
    PARTITION BY chip_uri
    ORDER BY
      coalesce(score_published_at, scored_at) DESC,
      scored_at DESC,
      published_at DESC NULLS LAST,
      run_id DESC
  ) = 1
)
SELECT chip_scores.* REPLACE (ST_GeomFromWKB(chip_scores.geometry) AS geometry)
FROM chip_scores
JOIN newest
  ON newest.chip_uri = chip_scores.chip_uri
  AND newest.run_id = chip_scores.run_id
  AND newest.scored_at = chip_scores.scored_at
