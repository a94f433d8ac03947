-- The labels that an alert is about: signs that forest is being cleared.
-- Made from sql/views/threats.sql by: python -m schemas.render
SELECT
  label
FROM UNNEST([
  STRUCT('road' AS label),
  STRUCT('selective_logging' AS label),
  STRUCT('slash_burn' AS label),
  STRUCT('artisinal_mine' AS label),
  STRUCT('conventional_mine' AS label)
]) AS threat
