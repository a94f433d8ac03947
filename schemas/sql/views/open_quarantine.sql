-- One row per chip without scores that was quarantined, with its newest quarantine row.
-- A chip may have been quarantined several times. A chip that was scored since, in any
-- picture of it, is not here.
SELECT quarantine.* REPLACE (ST_GeomFromWKB(quarantine.geometry) AS geometry)
FROM quarantine
LEFT JOIN (
  SELECT chip_uri, max(scored_at) AS scored_at FROM chip_scores GROUP BY chip_uri
) AS scores ON scores.chip_uri = quarantine.chip_uri
WHERE scores.scored_at IS NULL OR scores.scored_at <= quarantine.quarantined_at
QUALIFY row_number() OVER (
  PARTITION BY quarantine.chip_uri
  ORDER BY quarantine.quarantined_at DESC, quarantine.run_id DESC
) = 1
