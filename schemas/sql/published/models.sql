-- How far each label of each model can be trusted.
SELECT *
FROM all_models
