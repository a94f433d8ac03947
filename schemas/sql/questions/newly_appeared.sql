-- Where has a threat appeared since the ground was last seen? Newest first.
-- Compares each place's newest look with the one before it; cloudy pictures in between are skipped,
-- since they show neither presence nor absence. A place is an H3 cell (see the view looks); longitude
-- and latitude are of its centre, and so is place, to about 10 m. Pictures of the same time have no order:
-- a threat has appeared if all the newest show it and none of those before them does. The earlier
-- picture may have missed what haze or partial cloud hid (previous_sky_label), another model may
-- judge the same ground differently (same_model), and seen_at may only be when an object was written
-- or scored (seen_at_source): the answer has these columns, to judge for yourself. Labels that are not
-- proven (fewer than ten chips in validation and test together) are left out; `--unproven` shows
-- them. A label that the model before did not know has not appeared.
WITH times AS (
  SELECT
    *,
    dense_rank() OVER (PARTITION BY place_id ORDER BY seen_at DESC) AS look,
    row_number() OVER (PARTITION BY place_id, seen_at ORDER BY chip_uri DESC, etag DESC) AS picture,
    count(*) OVER (PARTITION BY place_id, seen_at) AS pictures
  FROM looks
),
shown AS (
  SELECT times.place_id, threats.label
  FROM times
  JOIN threats ON list_contains(times.labels, threats.label)
  WHERE times.look = 1
  GROUP BY times.place_id, threats.label
  HAVING count(*) = max(times.pictures)
),
appeared AS (
  SELECT times.place_id, shown.label
  FROM times
  JOIN shown ON shown.place_id = times.place_id
  WHERE times.look = 2
  GROUP BY times.place_id, shown.label
  HAVING count(
    CASE
      WHEN NOT list_contains(times.labels, shown.label) THEN
        CASE shown.label
          WHEN 'road' THEN times.score_road
          WHEN 'selective_logging' THEN times.score_selective_logging
          WHEN 'slash_burn' THEN times.score_slash_burn
          WHEN 'artisinal_mine' THEN times.score_artisinal_mine
          WHEN 'conventional_mine' THEN times.score_conventional_mine
        END
    END
  ) = count(*)
)
SELECT
  coalesce(
    CAST(round(places.longitude, 4) AS VARCHAR) || ' ' || CAST(round(places.latitude, 4) AS VARCHAR),
    newest.place_id
  ) AS place,
  newest.place_id,
  appeared.label AS threat,
  CASE appeared.label
    WHEN 'road' THEN newest.score_road
    WHEN 'selective_logging' THEN newest.score_selective_logging
    WHEN 'slash_burn' THEN newest.score_slash_burn
    WHEN 'artisinal_mine' THEN newest.score_artisinal_mine
    WHEN 'conventional_mine' THEN newest.score_conventional_mine
  END AS score,
  trust.proven,
  newest.seen_at,
  newest.seen_at_source,
  previous.seen_at AS previous_seen_at,
  previous.seen_at_source AS previous_seen_at_source,
  newest.sky_label,
  previous.sky_label AS previous_sky_label,
  newest.model_digest = previous.model_digest AS same_model,
  newest.chip_uri,
  previous.chip_uri AS previous_chip_uri,
  places.longitude,
  places.latitude
FROM appeared
JOIN times AS newest
  ON newest.place_id = appeared.place_id AND newest.look = 1 AND newest.picture = 1
JOIN times AS previous
  ON previous.place_id = appeared.place_id AND previous.look = 2 AND previous.picture = 1
LEFT JOIN places ON places.place_id = newest.place_id
LEFT JOIN label_trust AS trust
  ON trust.model_digest = newest.model_digest AND trust.label = appeared.label
WHERE trust.proven IS DISTINCT FROM FALSE
ORDER BY newest.seen_at DESC, score DESC, newest.place_id, threat
