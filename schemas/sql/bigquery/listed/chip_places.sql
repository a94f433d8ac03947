-- Table chip_places, version 1. Written by: python -m schemas.render
CREATE OR REPLACE EXTERNAL TABLE forest_chips.chip_places (
  footprint BYTES,
  place_id STRING
)
OPTIONS (
  format = "PARQUET",
  file_set_spec_type = "NEW_LINE_DELIMITED_MANIFEST",
  uris = ["gs://BUCKET/OUTPUT/_bigquery/chip_places.txt"],
  enable_list_inference = true
);
