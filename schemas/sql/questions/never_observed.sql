-- Where has cloud hidden the ground in every picture so far? Most attempts first.
-- These places need another picture: nothing is known about them, good or bad. A place leaves this
-- list with its first picture that is not cloudy.
SELECT
  place,
  max(scene_id) AS a_scene_id,
  count(*) AS cloudy_pictures,
  min(seen_at) AS first_tried_at,
  max(seen_at) AS last_tried_at,
  max(chip_uri) AS a_chip_uri,
  min(lon_min) AS lon_min,
  min(lat_min) AS lat_min,
  max(lon_max) AS lon_max,
  max(lat_max) AS lat_max
FROM observations
GROUP BY place
HAVING count(CASE WHEN observed THEN 1 END) = 0
ORDER BY cloudy_pictures DESC, place
