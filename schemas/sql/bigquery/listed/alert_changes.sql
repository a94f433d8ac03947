-- Table alert_changes, version 1. Written by: python -m schemas.render
CREATE OR REPLACE EXTERNAL TABLE forest_chips.alert_changes (
  alert_id STRING,
  step INT64,
  place_id STRING,
  label STRING,
  from_status STRING,
  to_status STRING,
  changed_at TIMESTAMP,
  published_at TIMESTAMP,
  as_of TIMESTAMP
)
OPTIONS (
  format = "PARQUET",
  file_set_spec_type = "NEW_LINE_DELIMITED_MANIFEST",
  uris = ["gs://BUCKET/OUTPUT/_bigquery/alert_changes.txt"],
  enable_list_inference = true
);
