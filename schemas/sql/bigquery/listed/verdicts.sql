-- Table verdicts, version 1. Written by: python -m schemas.render
CREATE OR REPLACE EXTERNAL TABLE forest_chips.verdicts (
  verdict_id STRING,
  alert_id STRING,
  site_id STRING,
  place_id STRING,
  label STRING,
  first_detected TIMESTAMP,
  until TIMESTAMP,
  verdict STRING,
  who STRING,
  judged_at TIMESTAMP,
  note STRING,
  recorded_at TIMESTAMP
)
OPTIONS (
  format = "PARQUET",
  file_set_spec_type = "NEW_LINE_DELIMITED_MANIFEST",
  uris = ["gs://BUCKET/OUTPUT/_bigquery/verdicts.txt"],
  enable_list_inference = true
);
