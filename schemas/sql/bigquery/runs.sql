-- Table runs, version 5. Written by: python -m schemas.render
CREATE TABLE runs (
  kind STRING NOT NULL OPTIONS (description = "score: chips of an archive; replay: quarantined chips tried again; relabel: new thresholds on stored scores."),
  status STRING NOT NULL OPTIONS (description = "published: its rows are in the tables; withdrawn: they were removed again; failed: it has no rows; held: they are in staging until an operator decides."),
  reason STRING OPTIONS (description = "Why the run failed, is held or was withdrawn; else null."),
  verdict STRING OPTIONS (description = "good or bad: how the run compares with those before it; null if not judged."),
  findings STRING OPTIONS (description = "JSON array: the checks behind the verdict."),
  listed INT64 NOT NULL OPTIONS (description = "Chips found, each counted once. Unit: chips."),
  skipped INT64 NOT NULL OPTIONS (description = "Chips that this model had finished before. Unit: chips."),
  left_over INT64 NOT NULL OPTIONS (description = "Chips left to the next run. Unit: chips."),
  scored INT64 NOT NULL OPTIONS (description = "Chips with scores. Unit: chips."),
  quarantined INT64 NOT NULL OPTIONS (description = "Chips quarantined, each with a reason. Unit: chips."),
  no_data INT64 OPTIONS (description = "Windows of scenes that were not scored because too much of them is no data; they are not counted as quarantined. Null if the run scored chips. Unit: chips."),
  quarantined_by_reason STRING OPTIONS (description = "JSON object: reason to number of chips. Unit: chips."),
  model_digest STRING NOT NULL OPTIONS (description = "sha256 of what decides a score: weights, architecture, label order, preprocessing."),
  thresholds_digest STRING NOT NULL OPTIONS (description = "sha256 of what chooses the labels: the thresholds and the sky rule."),
  threats ARRAY<STRING> OPTIONS (description = "The labels that count as threats from this run on; null: as before."),
  precision STRING OPTIONS (description = "Precision that the workers computed scores in."),
  engine STRING OPTIONS (description = "What computed them: tensorflow or openvino."),
  bytes_read INT64 OPTIONS (description = "Size of the chips that were read. Unit: bytes."),
  stage_seconds STRING OPTIONS (description = "JSON object: time for reading, decoding (all threads together), waiting for pixels, scoring and writing, summed over all workers. Unit: seconds."),
  versions STRING NOT NULL OPTIONS (description = "JSON object: package to version."),
  options STRING NOT NULL OPTIONS (description = "JSON object: the options of the run."),
  started_at TIMESTAMP NOT NULL OPTIONS (description = "When planning began. Unit: UTC."),
  planned_at TIMESTAMP NOT NULL OPTIONS (description = "When the manifest was written. Unit: UTC."),
  held_at TIMESTAMP OPTIONS (description = "When the run was held; null if never. Unit: UTC."),
  published_at TIMESTAMP OPTIONS (description = "When the run was committed; null if never. Unit: UTC."),
  commit_version INT64 OPTIONS (description = "Its commit: later is newer; else null. Unit: version."),
  plan_seconds FLOAT64 NOT NULL OPTIONS (description = "Time for listing and planning. Unit: seconds."),
  score_seconds FLOAT64 NOT NULL OPTIONS (description = "Time of scoring, without pauses. Unit: seconds."),
  run_date DATE NOT NULL OPTIONS (description = "Night that the run belongs to. Unit: UTC date."),
  run_id STRING NOT NULL OPTIONS (description = "The run that made the row.")
)
PARTITION BY run_date
CLUSTER BY run_id
OPTIONS (description = "The scoring runs, one row each.");
