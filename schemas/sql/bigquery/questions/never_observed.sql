-- Where has cloud hidden the ground in every picture so far? Most attempts first.
-- These places need another picture: nothing is known about them, good or bad. A place leaves this
-- list with its first picture that is not cloudy. A place is an H3 cell (see the view looks);
-- longitude and latitude are of its centre, and so is place, to about 10 m.
-- Made from sql/questions/never_observed.sql by: python -m schemas.render
WITH pictures AS (
  SELECT
    observations.*,
    COALESCE(chip_places.place_id, observations.chip_uri) AS place_id
  FROM forest_chips.observations
  LEFT JOIN forest_chips.chip_places
    ON chip_places.footprint = observations.footprint
  WHERE
    observations.lon_min IS NULL OR NOT chip_places.footprint IS NULL
), hidden AS (
  SELECT
    place_id,
    MAX(scene_id) AS a_scene_id,
    COUNT(*) AS cloudy_pictures,
    MIN(seen_at) AS first_tried_at,
    MAX(seen_at) AS last_tried_at,
    MAX(chip_uri) AS a_chip_uri,
    MIN(lon_min) AS lon_min,
    MIN(lat_min) AS lat_min,
    MAX(lon_max) AS lon_max,
    MAX(lat_max) AS lat_max
  FROM pictures
  GROUP BY
    place_id
  HAVING
    COUNT(CASE WHEN observed THEN 1 END) = 0
)
SELECT
  COALESCE(
    CAST(ROUND(places.longitude, 4) AS STRING) || ' ' || CAST(ROUND(places.latitude, 4) AS STRING),
    hidden.place_id
  ) AS place,
  hidden.*,
  places.longitude,
  places.latitude
FROM hidden
LEFT JOIN forest_chips.places
  ON places.place_id = hidden.place_id
ORDER BY
  hidden.cloudy_pictures DESC,
  hidden.place_id NULLS LAST
