-- One row per model and label, whatever the thresholds: how many chips it was judged on.
--   positives  chips with the label in validation and test together
--   proven     whether these are at least ten, and a threshold is not null; null if not known
-- Scores of a model that is not in `models` (published by an earlier release) have no row here.
-- Made from sql/views/label_trust.sql by: python -m schemas.render
SELECT
  model_digest,
  label,
  MAX(positives) AS positives,
  LOGICAL_OR(proven) AS proven
FROM forest_chips.models
GROUP BY
  model_digest,
  label
