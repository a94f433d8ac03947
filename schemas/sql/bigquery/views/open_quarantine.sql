-- One row per chip without scores that was quarantined, with its newest quarantine row.
-- A chip may have been quarantined several times. A chip that was scored since, in any
-- picture of it, is not here.
-- Made from sql/views/open_quarantine.sql by: python -m schemas.render
SELECT
  quarantine.*
  REPLACE (ST_GEOGFROMWKB(quarantine.geometry) AS geometry)
FROM forest_chips.quarantine
LEFT JOIN (
  SELECT
    chip_uri,
    MAX(scored_at) AS scored_at
  FROM forest_chips.chip_scores
  GROUP BY
    chip_uri
) AS scores
  ON scores.chip_uri = quarantine.chip_uri
WHERE
  scores.scored_at IS NULL OR scores.scored_at <= quarantine.quarantined_at
QUALIFY
  ROW_NUMBER() OVER (
    PARTITION BY quarantine.chip_uri
    ORDER BY quarantine.quarantined_at DESC, quarantine.run_id DESC
  ) = 1
