-- Where has cloud hidden the ground in every picture so far? Most attempts first.
-- These places need another picture: nothing is known about them, good or bad. A place leaves this
-- list with its first picture that is not cloudy. A place is an H3 cell (see the view looks);
-- longitude and latitude are of its centre, and so is place, to about 10 m.
WITH pictures AS (
  SELECT
    observations.*,
    coalesce(chip_places.place_id, observations.chip_uri) AS place_id
  FROM observations
  LEFT JOIN chip_places ON chip_places.footprint = observations.footprint
  WHERE observations.lon_min IS NULL OR chip_places.footprint IS NOT NULL
),
hidden AS (
  SELECT
    place_id,
    max(scene_id) AS a_scene_id,
    count(*) AS cloudy_pictures,
    min(seen_at) AS first_tried_at,
    max(seen_at) AS last_tried_at,
    max(chip_uri) AS a_chip_uri,
    min(lon_min) AS lon_min,
    min(lat_min) AS lat_min,
    max(lon_max) AS lon_max,
    max(lat_max) AS lat_max
  FROM pictures
  GROUP BY place_id
  HAVING count(CASE WHEN observed THEN 1 END) = 0
)
SELECT
  coalesce(
    CAST(round(places.longitude, 4) AS VARCHAR) || ' ' || CAST(round(places.latitude, 4) AS VARCHAR),
    hidden.place_id
  ) AS place,
  hidden.*,
  places.longitude,
  places.latitude
FROM hidden
LEFT JOIN places ON places.place_id = hidden.place_id
ORDER BY hidden.cloudy_pictures DESC, hidden.place_id
