-- One row per chip without scores that was quarantined, with its newest quarantine row.
-- A chip may have been quarantined several times. A chip that was scored since, in any
-- picture of it, is not here. See latest_chip_scores for what is newer: the version of the table
-- that published a run counts, and clocks only among runs of earlier releases.
WITH scored AS (
  SELECT
    chip_scores.chip_uri,
    chip_scores.scored_at,
    min(
      CASE
        WHEN runs.run_id IS NULL THEN 9223372036854775807
        WHEN runs.kind <> 'relabel' THEN coalesce(runs.commit_version, -1)
      END
    ) OVER (PARTITION BY chip_scores.chip_uri, chip_scores.scored_at) AS first_version
  FROM chip_scores
  LEFT JOIN runs ON runs.run_id = chip_scores.run_id
),
scores AS (
  SELECT
    chip_uri,
    max(coalesce(first_version, -1)) AS version,
    max(scored_at) AS scored_at
  FROM scored
  GROUP BY chip_uri
),
rejected AS (
  SELECT
    quarantine.chip_uri,
    quarantine.run_id,
    quarantine.quarantined_at,
    CASE
      WHEN runs.run_id IS NULL THEN 9223372036854775807
      ELSE coalesce(runs.commit_version, -1)
    END AS version
  FROM quarantine
  LEFT JOIN runs ON runs.run_id = quarantine.run_id
),
newest AS (
  SELECT rejected.chip_uri, rejected.run_id
  FROM rejected
  LEFT JOIN scores ON scores.chip_uri = rejected.chip_uri
  WHERE scores.chip_uri IS NULL
    OR scores.version < rejected.version
    OR (scores.version = rejected.version AND scores.scored_at <= rejected.quarantined_at)
  QUALIFY row_number() OVER (
    PARTITION BY rejected.chip_uri
    ORDER BY rejected.version DESC, rejected.quarantined_at DESC, rejected.run_id DESC
  ) = 1
)
SELECT quarantine.* REPLACE (ST_GeomFromWKB(quarantine.geometry) AS geometry)
FROM quarantine
JOIN newest
  ON newest.chip_uri = quarantine.chip_uri
  AND newest.run_id = quarantine.run_id
