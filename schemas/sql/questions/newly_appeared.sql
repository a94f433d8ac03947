-- Where has a threat appeared since the ground was last seen? Newest first.
-- Compares each place's newest observation with the one before it; cloudy pictures in between are
-- skipped, since they show neither presence nor absence. The earlier picture may have missed what
-- haze or partial cloud hid (previous_sky_label), and another model may judge the same ground
-- differently (same_model): the answer has both columns, to judge for yourself.
WITH looks AS (
  SELECT
    *,
    row_number() OVER (PARTITION BY place ORDER BY seen_at DESC, chip_uri DESC, etag DESC) AS look
  FROM observations
  WHERE observed
)
SELECT
  newest.place,
  threats.label AS threat,
  CASE threats.label
    WHEN 'road' THEN newest.score_road
    WHEN 'selective_logging' THEN newest.score_selective_logging
    WHEN 'slash_burn' THEN newest.score_slash_burn
    WHEN 'artisinal_mine' THEN newest.score_artisinal_mine
    WHEN 'conventional_mine' THEN newest.score_conventional_mine
  END AS score,
  newest.seen_at,
  previous.seen_at AS previous_seen_at,
  newest.sky_label,
  previous.sky_label AS previous_sky_label,
  newest.model_digest = previous.model_digest AS same_model,
  newest.chip_uri,
  previous.chip_uri AS previous_chip_uri
FROM looks AS newest
JOIN looks AS previous ON previous.place = newest.place AND previous.look = 2
JOIN threats
  ON list_contains(newest.labels, threats.label)
  AND NOT list_contains(previous.labels, threats.label)
WHERE newest.look = 1
ORDER BY newest.seen_at DESC, score DESC, newest.place, threat
