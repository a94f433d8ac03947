-- Table sites, version 1. Written by: python -m schemas.render
CREATE OR REPLACE EXTERNAL TABLE forest_chips.sites (
  site_id STRING,
  label STRING,
  status STRING,
  first_detected TIMESTAMP,
  last_seen TIMESTAMP,
  alerts INT64,
  cells INT64,
  area_ha FLOAT64,
  positives INT64,
  max_score FLOAT64,
  proven BOOL,
  before_uri STRING,
  after_uri STRING,
  pictures ARRAY<STRING>,
  areas ARRAY<STRING>,
  latitude FLOAT64,
  longitude FLOAT64,
  geometry BYTES,
  bbox STRUCT<xmin FLOAT64, ymin FLOAT64, xmax FLOAT64, ymax FLOAT64>,
  updated_at TIMESTAMP
)
OPTIONS (
  format = "PARQUET",
  file_set_spec_type = "NEW_LINE_DELIMITED_MANIFEST",
  uris = ["gs://BUCKET/OUTPUT/_bigquery/sites.txt"],
  enable_list_inference = true
);
