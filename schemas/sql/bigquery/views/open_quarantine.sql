-- One row a chip of which nothing is known: its newest state is that it was given up.
-- However often a chip was given up, its last quarantine row stands for it; a chip that was scored
-- since, whichever picture of it, is not here.
-- Made of sql/views/open_quarantine.sql by: python -m schemas.render
SELECT
  quarantine.*
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
