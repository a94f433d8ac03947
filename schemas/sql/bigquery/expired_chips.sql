-- Table expired_chips, version 1. Written by: python -m schemas.render
CREATE TABLE expired_chips (
  chip_uri STRING NOT NULL OPTIONS (description = "Absolute address of the chip's object."),
  etag STRING OPTIONS (description = "The store's version tag of the object when it was listed."),
  model_digest STRING NOT NULL OPTIONS (description = "sha256 of what decides a score: weights, architecture, label order, preprocessing."),
  run_date DATE NOT NULL OPTIONS (description = "Night that the run belongs to. Unit: UTC date."),
  run_id STRING NOT NULL OPTIONS (description = "The run that made the row.")
)
PARTITION BY run_date
CLUSTER BY run_id
OPTIONS (description = "Chips whose rows were removed because of their age; they are not scored again.");
