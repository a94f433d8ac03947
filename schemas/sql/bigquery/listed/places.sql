-- Table places, version 1. Written by: python -m schemas.render
CREATE OR REPLACE EXTERNAL TABLE forest_chips.places (
  place_id STRING,
  geometry BYTES,
  bbox STRUCT<xmin FLOAT64, ymin FLOAT64, xmax FLOAT64, ymax FLOAT64>,
  latitude FLOAT64,
  longitude FLOAT64,
  h3_resolution INT64
)
OPTIONS (
  format = "PARQUET",
  file_set_spec_type = "NEW_LINE_DELIMITED_MANIFEST",
  uris = ["gs://BUCKET/OUTPUT/_bigquery/places.txt"],
  enable_list_inference = true
);
