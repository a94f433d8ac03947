-- Where has cloud hidden the ground in every picture so far? Most attempts first.
-- These places need another picture: nothing is known about them, good or bad. A place leaves this
-- list with its first picture that is not cloudy.
-- Made from sql/questions/never_observed.sql by: python -m schemas.render
SELECT
  place,
  MAX(scene_id) AS a_scene_id,
  COUNT(*) AS cloudy_pictures,
  MIN(seen_at) AS first_tried_at,
  MAX(seen_at) AS last_tried_at,
  MAX(chip_uri) AS a_chip_uri,
  MIN(lon_min) AS lon_min,
  MIN(lat_min) AS lat_min,
  MAX(lon_max) AS lon_max,
  MAX(lat_max) AS lat_max
FROM forest_chips.observations
GROUP BY
  place
HAVING
  COUNT(CASE WHEN observed THEN 1 END) = 0
ORDER BY
  cloudy_pictures DESC,
  place NULLS LAST
