-- One row per chip: its scores in the newest publication, with the newest labels of these scores.
-- A score is as new as the run that computed it, by the versions of the table, not by clocks
-- (runs.commit_version). A run without a row of its own yet (it is written last) is the newest. Runs
-- of earlier releases, which have no version, are older than all others; among themselves, and among
-- runs without a row, the times of publication and of scoring count. A relabelling publishes the same scores again
-- (same chip_uri and scored_at), which makes none of them newer: of the rows of one score, the one
-- published last counts, as soon as its run has its row.
WITH publications AS (
  SELECT
    chip_scores.chip_uri,
    chip_scores.run_id,
    chip_scores.scored_at,
    runs.published_at,
    runs.commit_version,
    min(
      CASE
        WHEN runs.run_id IS NULL THEN 9223372036854775807
        WHEN runs.kind <> 'relabel' THEN coalesce(runs.commit_version, -1)
      END
    ) OVER (PARTITION BY chip_scores.chip_uri, chip_scores.scored_at) AS first_version,
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
      coalesce(first_version, -1) DESC,
      coalesce(score_published_at, scored_at) DESC,
      scored_at DESC,
      commit_version DESC NULLS LAST,
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
