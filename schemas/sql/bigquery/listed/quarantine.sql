-- Table quarantine, version 3. Written by: python -m schemas.render
CREATE OR REPLACE EXTERNAL TABLE forest_chips.all_quarantine (
  chip_uri STRING,
  chip_id STRING,
  scene_id STRING,
  observed_at TIMESTAMP,
  lon_min FLOAT64,
  lat_min FLOAT64,
  lon_max FLOAT64,
  lat_max FLOAT64,
  geometry BYTES,
  bbox STRUCT<xmin FLOAT64, ymin FLOAT64, xmax FLOAT64, ymax FLOAT64>,
  etag STRING,
  size_bytes INT64,
  scene_bands STRING,
  reason STRING,
  message STRING,
  model_digest STRING,
  quarantined_at TIMESTAMP
)
WITH PARTITION COLUMNS (
  run_date DATE,
  run_id STRING
)
OPTIONS (
  format = "PARQUET",
  file_set_spec_type = "NEW_LINE_DELIMITED_MANIFEST",
  uris = ["gs://BUCKET/OUTPUT/_bigquery/quarantine.txt"],
  hive_partition_uri_prefix = "gs://BUCKET/OUTPUT/quarantine",
  enable_list_inference = true
);
