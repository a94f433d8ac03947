-- Table chip_places, version 1. Written by: python -m schemas.render
CREATE OR REPLACE EXTERNAL TABLE forest_chips.chip_places
WITH CONNECTION `PROJECT.REGION.CONNECTION`
OPTIONS (
  format = "DELTA_LAKE",
  uris = ["gs://BUCKET/OUTPUT/chip_places"]
);
