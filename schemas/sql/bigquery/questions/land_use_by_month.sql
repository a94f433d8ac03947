-- What share of the pictures of each month shows farms or settlements?
-- The shares are of the observed pictures; cloudy ones are counted separately, in no share.
-- A month without any observation has no share at all (null), not a share of zero.
-- Made from sql/questions/land_use_by_month.sql by: python -m schemas.render
SELECT
  CAST(TIMESTAMP_TRUNC(seen_at, MONTH) AS DATE) AS month,
  COUNT(CASE WHEN observed THEN 1 END) AS observed,
  COUNT(CASE WHEN NOT observed THEN 1 END) AS not_observed,
  ROUND(
    AVG(
      CASE
        WHEN observed
        THEN CASE WHEN 'agriculture' IN UNNEST(labels) THEN 1.0 ELSE 0.0 END
      END
    ),
    4
  ) AS share_agriculture,
  ROUND(
    AVG(
      CASE
        WHEN observed
        THEN CASE WHEN 'cultivation' IN UNNEST(labels) THEN 1.0 ELSE 0.0 END
      END
    ),
    4
  ) AS share_cultivation,
  ROUND(
    AVG(
      CASE
        WHEN observed
        THEN CASE WHEN 'habitation' IN UNNEST(labels) THEN 1.0 ELSE 0.0 END
      END
    ),
    4
  ) AS share_habitation
FROM forest_chips.observations
GROUP BY
  month
ORDER BY
  month NULLS LAST
