-- Table alerts, version 1. Written by: python -m schemas.render
CREATE OR REPLACE EXTERNAL TABLE forest_chips.alerts (
  alert_id STRING,
  site_id STRING,
  place_id STRING,
  label STRING,
  status STRING,
  confidence INT64,
  first_detected TIMESTAMP,
  previous_clear TIMESTAMP,
  confirmed_at TIMESTAMP,
  last_seen TIMESTAMP,
  last_looked TIMESTAMP,
  dropped_at TIMESTAMP,
  ended_at TIMESTAMP,
  looks INT64,
  positives INT64,
  cloudy_looks INT64,
  max_score FLOAT64,
  proven BOOL,
  before_uri STRING,
  after_uri STRING,
  areas ARRAY<STRING>,
  area_ha FLOAT64,
  latitude FLOAT64,
  longitude FLOAT64,
  geometry BYTES,
  bbox STRUCT<xmin FLOAT64, ymin FLOAT64, xmax FLOAT64, ymax FLOAT64>,
  model_digest STRING,
  thresholds_digest STRING,
  updated_at TIMESTAMP
)
OPTIONS (
  format = "PARQUET",
  file_set_spec_type = "NEW_LINE_DELIMITED_MANIFEST",
  uris = ["gs://BUCKET/OUTPUT/_bigquery/alerts.txt"],
  enable_list_inference = true
);
