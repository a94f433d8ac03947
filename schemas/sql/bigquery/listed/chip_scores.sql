-- Table chip_scores, version 4. Written by: python -m schemas.render
CREATE OR REPLACE EXTERNAL TABLE forest_chips.chip_scores (
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
  modified_at TIMESTAMP,
  observed_at_source STRING,
  no_data_share FLOAT64,
  scene_bands STRING,
  media_type STRING,
  score_clear FLOAT64,
  score_partly_cloudy FLOAT64,
  score_cloudy FLOAT64,
  score_haze FLOAT64,
  score_primary FLOAT64,
  score_agriculture FLOAT64,
  score_road FLOAT64,
  score_water FLOAT64,
  score_cultivation FLOAT64,
  score_habitation FLOAT64,
  score_bare_ground FLOAT64,
  score_selective_logging FLOAT64,
  score_artisinal_mine FLOAT64,
  score_blooming FLOAT64,
  score_slash_burn FLOAT64,
  score_conventional_mine FLOAT64,
  score_blow_down FLOAT64,
  labels ARRAY<STRING>,
  sky_label STRING,
  model_digest STRING,
  thresholds_digest STRING,
  scored_at TIMESTAMP
)
WITH PARTITION COLUMNS (
  run_date DATE,
  run_id STRING
)
OPTIONS (
  format = "PARQUET",
  file_set_spec_type = "NEW_LINE_DELIMITED_MANIFEST",
  uris = ["gs://BUCKET/OUTPUT/_bigquery/chip_scores.txt"],
  hive_partition_uri_prefix = "gs://BUCKET/OUTPUT/chip_scores",
  enable_list_inference = true
);
