-- How far each label of each model can be trusted.
-- Made from sql/published/models.sql by: python -m schemas.render
SELECT
  *
FROM forest_chips.all_models
