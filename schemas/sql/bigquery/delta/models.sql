-- Table models, version 2. Written by: python -m schemas.render
CREATE OR REPLACE EXTERNAL TABLE forest_chips.all_models
WITH CONNECTION `PROJECT.REGION.CONNECTION`
OPTIONS (
  format = "DELTA_LAKE",
  uris = ["gs://BUCKET/OUTPUT/models"]
);
