-- Table verdicts, version 1. Written by: python -m schemas.render
CREATE OR REPLACE EXTERNAL TABLE forest_chips.verdicts
WITH CONNECTION `PROJECT.REGION.CONNECTION`
OPTIONS (
  format = "DELTA_LAKE",
  uris = ["gs://BUCKET/OUTPUT/verdicts"]
);
