-- Table models, version 2. Written by: python -m schemas.render
CREATE OR REPLACE EXTERNAL TABLE forest_chips.all_models (
  model_digest STRING,
  thresholds_digest STRING,
  label STRING,
  threshold FLOAT64,
  positives INT64,
  measured_on STRING,
  precision FLOAT64,
  precision_low FLOAT64,
  precision_high FLOAT64,
  recall FLOAT64,
  recall_low FLOAT64,
  recall_high FLOAT64,
  average_precision FLOAT64,
  average_precision_low FLOAT64,
  average_precision_high FLOAT64,
  proven BOOL
)
WITH PARTITION COLUMNS (
  run_date DATE,
  run_id STRING
)
OPTIONS (
  format = "PARQUET",
  file_set_spec_type = "NEW_LINE_DELIMITED_MANIFEST",
  uris = ["gs://BUCKET/OUTPUT/_bigquery/models.txt"],
  hive_partition_uri_prefix = "gs://BUCKET/OUTPUT/models",
  enable_list_inference = true
);
