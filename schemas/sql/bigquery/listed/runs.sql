-- Table runs, version 5. Written by: python -m schemas.render
CREATE OR REPLACE EXTERNAL TABLE forest_chips.all_runs (
  kind STRING,
  status STRING,
  reason STRING,
  verdict STRING,
  findings STRING,
  listed INT64,
  skipped INT64,
  left_over INT64,
  scored INT64,
  quarantined INT64,
  no_data INT64,
  quarantined_by_reason STRING,
  model_digest STRING,
  thresholds_digest STRING,
  threats ARRAY<STRING>,
  precision STRING,
  engine STRING,
  bytes_read INT64,
  stage_seconds STRING,
  versions STRING,
  options STRING,
  started_at TIMESTAMP,
  planned_at TIMESTAMP,
  held_at TIMESTAMP,
  published_at TIMESTAMP,
  commit_version INT64,
  plan_seconds FLOAT64,
  score_seconds FLOAT64
)
WITH PARTITION COLUMNS (
  run_date DATE,
  run_id STRING
)
OPTIONS (
  format = "PARQUET",
  file_set_spec_type = "NEW_LINE_DELIMITED_MANIFEST",
  uris = ["gs://BUCKET/OUTPUT/_bigquery/runs.txt"],
  hive_partition_uri_prefix = "gs://BUCKET/OUTPUT/runs",
  enable_list_inference = true
);
