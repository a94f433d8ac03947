-- Table chip_scores, version 4. Written by: python -m schemas.render
CREATE OR REPLACE EXTERNAL TABLE forest_chips.chip_scores
WITH CONNECTION `PROJECT.REGION.CONNECTION`
OPTIONS (
  format = "DELTA_LAKE",
  uris = ["gs://BUCKET/OUTPUT/chip_scores"]
);
