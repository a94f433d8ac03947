-- One row per model and label, whatever the thresholds: how many chips it was judged on.
--   positives  chips with the label in validation and test together
--   proven     whether these are at least ten, and a threshold is not null; null if not known
-- Scores of a model that is not in `models` (published by an earlier release) have no row here.
SELECT
  model_digest,
  label,
  max(positives) AS positives,
  bool_or(proven) AS proven
FROM models
GROUP BY model_digest, label
