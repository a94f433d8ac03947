-- The labels that an alert is about: those that `score_chips --threats` named last.
-- If no run named any: the signs that forest is being cleared among Planet's labels, if the label
-- set has them.
WITH chosen AS (
  SELECT threats
  FROM runs
  WHERE status = 'published' AND array_length(threats) > 0
  QUALIFY row_number() OVER (
    ORDER BY
      commit_version DESC NULLS LAST,
      published_at DESC NULLS LAST,
      run_id DESC
  ) = 1
)
SELECT named.label
FROM chosen, unnest(chosen.threats) AS named (label)
UNION ALL
SELECT threat.label
FROM (
  VALUES ('road'), ('selective_logging'), ('slash_burn'), ('artisinal_mine'), ('conventional_mine')
) AS threat (label)
WHERE NOT EXISTS (SELECT 1 FROM chosen)
  AND threat.label IN (
    'road', 'selective_logging', 'slash_burn', 'artisinal_mine', 'conventional_mine'
  )
