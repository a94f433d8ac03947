-- Table runs, version 2. Written by: python -m schemas.render
CREATE TABLE runs (
  kind STRING NOT NULL OPTIONS (description = "score: chips of an archive; replay: quarantined chips tried again; relabel: new thresholds on stored scores."),
  status STRING NOT NULL OPTIONS (description = "published: its rows are in the tables; withdrawn: they were taken back; failed: it has none; held: they wait in staging for somebody to look at them."),
  reason STRING OPTIONS (description = "Why the run failed or is held; null for the others."),
  verdict STRING OPTIONS (description = "good or bad: how the run compares with those before it; null where not judged."),
  findings STRING OPTIONS (description = "JSON array: what the verdict was reached by."),
  listed INT64 NOT NULL OPTIONS (description = "Chips found, each counted once. Unit: chips."),
  skipped INT64 NOT NULL OPTIONS (description = "Chips that this model had done before. Unit: chips."),
  left_over INT64 NOT NULL OPTIONS (description = "Chips left to the next run. Unit: chips."),
  scored INT64 NOT NULL OPTIONS (description = "Chips with scores. Unit: chips."),
  quarantined INT64 NOT NULL OPTIONS (description = "Chips given up with a reason. Unit: chips."),
  quarantined_by_reason STRING OPTIONS (description = "JSON object: reason to number of chips. Unit: chips."),
  model_digest STRING NOT NULL OPTIONS (description = "sha256 of what decides a score: weights, architecture, label order, preprocessing."),
  thresholds_digest STRING NOT NULL OPTIONS (description = "sha256 of what chose the labels: the thresholds and the sky rule."),
  precision STRING OPTIONS (description = "Precision that the workers computed scores in."),
  bytes_read INT64 OPTIONS (description = "What was fetched of the chips. Unit: bytes."),
  stage_seconds STRING OPTIONS (description = "JSON object: what reading, decoding (all threads together), waiting for pixels, scoring and writing have cost, all workers together. Unit: seconds."),
  versions STRING NOT NULL OPTIONS (description = "JSON object: package to version."),
  options STRING NOT NULL OPTIONS (description = "JSON object: the options of the run."),
  started_at TIMESTAMP NOT NULL OPTIONS (description = "When planning began. Unit: UTC."),
  planned_at TIMESTAMP NOT NULL OPTIONS (description = "When the manifest was written. Unit: UTC."),
  published_at TIMESTAMP OPTIONS (description = "When the run was committed; null if never. Unit: UTC."),
  plan_seconds FLOAT64 NOT NULL OPTIONS (description = "Listing and planning. Unit: seconds."),
  score_seconds FLOAT64 NOT NULL OPTIONS (description = "From the plan to the end. Unit: seconds."),
  run_date DATE NOT NULL OPTIONS (description = "Night that the run belongs to. Unit: UTC date."),
  run_id STRING NOT NULL OPTIONS (description = "The run that made the row.")
)
PARTITION BY run_date
CLUSTER BY run_id
OPTIONS (description = "The scoring runs, a row each.");
