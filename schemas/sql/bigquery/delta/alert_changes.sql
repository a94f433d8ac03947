-- Table alert_changes, version 1. Written by: python -m schemas.render
CREATE OR REPLACE EXTERNAL TABLE forest_chips.alert_changes
WITH CONNECTION `PROJECT.REGION.CONNECTION`
OPTIONS (
  format = "DELTA_LAKE",
  uris = ["gs://BUCKET/OUTPUT/alert_changes"]
);
