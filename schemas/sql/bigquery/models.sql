-- Table models, version 2. Written by: python -m schemas.render
CREATE TABLE models (
  model_digest STRING NOT NULL OPTIONS (description = "sha256 of what decides a score: weights, architecture, label order, preprocessing."),
  thresholds_digest STRING NOT NULL OPTIONS (description = "sha256 of what chooses the labels: the thresholds and the sky rule."),
  label STRING NOT NULL OPTIONS (description = "The label."),
  threshold FLOAT64 OPTIONS (description = "A chip has the label if its score is at or over it (unless the sky rule is argmax); null: never. Unit: probability in [0, 1]."),
  positives INT64 OPTIONS (description = "Chips with the label in validation and test together; null if not known. Unit: chips."),
  measured_on STRING OPTIONS (description = "What the figures were measured on: test, or validation if there is no test part; null if there are no figures."),
  precision FLOAT64 OPTIONS (description = "Share of the chips given the label that have it; null if not known. Unit: share in [0, 1]."),
  precision_low FLOAT64 OPTIONS (description = "Lower end of the 95 % interval of precision; null below 5 positives. Unit: share in [0, 1]."),
  precision_high FLOAT64 OPTIONS (description = "Upper end of the 95 % interval of precision; null below 5 positives. Unit: share in [0, 1]."),
  recall FLOAT64 OPTIONS (description = "Share of the chips with the label that are given it; null if not known. Unit: share in [0, 1]."),
  recall_low FLOAT64 OPTIONS (description = "Lower end of the 95 % interval of recall; null below 5 positives. Unit: share in [0, 1]."),
  recall_high FLOAT64 OPTIONS (description = "Upper end of the 95 % interval of recall; null below 5 positives. Unit: share in [0, 1]."),
  average_precision FLOAT64 OPTIONS (description = "Mean precision over all thresholds; null if not known. Unit: share in [0, 1]."),
  average_precision_low FLOAT64 OPTIONS (description = "Lower end of the 95 % interval of average_precision; null below 5 positives. Unit: share in [0, 1]."),
  average_precision_high FLOAT64 OPTIONS (description = "Upper end of the 95 % interval of average_precision; null below 5 positives. Unit: share in [0, 1]."),
  proven BOOL OPTIONS (description = "Whether positives is at least 10 and the threshold is not null; null if positives are not known."),
  run_date DATE NOT NULL OPTIONS (description = "Night that the run belongs to. Unit: UTC date."),
  run_id STRING NOT NULL OPTIONS (description = "The run that made the row.")
)
PARTITION BY run_date
CLUSTER BY run_id
OPTIONS (description = "How far each label of each model can be trusted, one row per model, thresholds and label. The run is the first that was published with them.");
