-- One row per picture and place in which the ground was seen: a look.
--   place_id  what the picture shows: an H3 cell whose centre is in it (table places), or its
--             chip_uri if its position is not known, so that only later pictures with the same
--             address are looks at the same place
-- The other columns are those of observations. A cloudy picture is no look, and neither is one that
-- was taken after it was scored for the first time: its date is wrong. A picture whose position is
-- known has its places after the next `update_places`; until then it is no look.
-- Made from sql/views/looks.sql by: python -m schemas.render
SELECT
  COALESCE(chip_places.place_id, observations.chip_uri) AS place_id,
  observations.*
  EXCEPT (lon_min, lat_min, lon_max, lat_max, geometry, bbox, place, observed, first_scored_at, footprint)
FROM forest_chips.observations
LEFT JOIN forest_chips.chip_places
  ON chip_places.footprint = observations.footprint
WHERE
  observations.observed
  AND observations.seen_at <= observations.first_scored_at
  AND (
    observations.lon_min IS NULL OR NOT chip_places.footprint IS NULL
  )
