-- What share of the pictures of each month shows farms or settlements?
-- The shares are of the observed pictures that a model scored for the label; cloudy ones are counted
-- separately, in no share. A month without any observation has no share at all (null), not a share
-- of zero. Labels that are not proven (fewer than ten chips in validation and test together) have no
-- share, and are named in not_proven; `--unproven` shows their shares, too. A picture whose date is
-- after its first scoring is in no month.
-- Made from sql/questions/land_use_by_month.sql by: python -m schemas.render
WITH pictures AS (
  SELECT
    CAST(TIMESTAMP_TRUNC(seen_at, MONTH) AS DATE) AS month,
    land_use.label,
    land_use.label IN UNNEST(labels) AS has_label,
    trust.proven
  FROM forest_chips.observations
  CROSS JOIN UNNEST([
    STRUCT('agriculture' AS label),
    STRUCT('cultivation' AS label),
    STRUCT('habitation' AS label)
  ]) AS land_use
  LEFT JOIN forest_chips.label_trust AS trust
    ON trust.model_digest = observations.model_digest AND trust.label = land_use.label
  WHERE
    observed
    AND seen_at <= first_scored_at
    AND NOT CASE land_use.label
      WHEN 'agriculture'
      THEN score_agriculture
      WHEN 'cultivation'
      THEN score_cultivation
      WHEN 'habitation'
      THEN score_habitation
    END IS NULL
), shares AS (
  SELECT
    month,
    label,
    ROUND(
      AVG(
        CASE
          WHEN proven IS DISTINCT FROM FALSE
          THEN CASE WHEN has_label THEN 1.0 ELSE 0.0 END
        END
      ),
      4
    ) AS share,
    COUNT(CASE WHEN NOT proven THEN 1 END) AS unproven
  FROM pictures
  GROUP BY
    month,
    label
), months AS (
  SELECT
    CAST(TIMESTAMP_TRUNC(seen_at, MONTH) AS DATE) AS month,
    COUNT(CASE WHEN observed THEN 1 END) AS observed,
    COUNT(CASE WHEN NOT observed THEN 1 END) AS not_observed
  FROM forest_chips.observations
  WHERE
    seen_at <= first_scored_at
  GROUP BY
    month
)
SELECT
  months.month,
  months.observed,
  months.not_observed,
  MAX(CASE WHEN shares.label = 'agriculture' THEN shares.share END) AS share_agriculture,
  MAX(CASE WHEN shares.label = 'cultivation' THEN shares.share END) AS share_cultivation,
  MAX(CASE WHEN shares.label = 'habitation' THEN shares.share END) AS share_habitation,
  STRING_AGG(
    CASE WHEN shares.unproven > 0 THEN shares.label END, ', '
    ORDER BY
      shares.label
  ) AS not_proven
FROM months
LEFT JOIN shares
  ON shares.month = months.month
GROUP BY
  months.month,
  months.observed,
  months.not_observed
ORDER BY
  months.month NULLS LAST
