-- The labels that an alert is about: those that `score_chips --threats` named last.
-- If no run named any: the signs that forest is being cleared among Planet's labels, if the label
-- set has them.
-- Made from sql/views/threats.sql by: python -m schemas.render
WITH chosen AS (
  SELECT
    threats
  FROM forest_chips.runs
  WHERE
    status = 'published' AND ARRAY_LENGTH(threats) > 0
  QUALIFY
    ROW_NUMBER() OVER (ORDER BY commit_version DESC, published_at DESC, run_id DESC) = 1
)
SELECT
  label
FROM chosen, UNNEST(chosen.threats) AS label
UNION ALL
SELECT
  threat.label
FROM UNNEST([
  STRUCT('road' AS label),
  STRUCT('selective_logging' AS label),
  STRUCT('slash_burn' AS label),
  STRUCT('artisinal_mine' AS label),
  STRUCT('conventional_mine' AS label)
]) AS threat
WHERE
  NOT EXISTS(
    SELECT
      1
    FROM chosen
  )
  AND threat.label IN ('road', 'selective_logging', 'slash_burn', 'artisinal_mine', 'conventional_mine')
