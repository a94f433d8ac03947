-- Table alert_updates, version 1. Written by: python -m schemas.render
CREATE OR REPLACE EXTERNAL TABLE forest_chips.alert_updates (
  update_number INT64,
  published_at TIMESTAMP,
  as_of TIMESTAMP,
  labels ARRAY<STRING>,
  baseline DATE,
  h3_resolution INT64,
  areas INT64,
  looks INT64,
  changes INT64,
  low INT64,
  high INT64,
  dropped INT64,
  ended INT64,
  sites INT64
)
OPTIONS (
  format = "PARQUET",
  file_set_spec_type = "NEW_LINE_DELIMITED_MANIFEST",
  uris = ["gs://BUCKET/OUTPUT/_bigquery/alert_updates.txt"],
  enable_list_inference = true
);
