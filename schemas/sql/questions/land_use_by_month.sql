-- What share of the pictures of each month shows farms or settlements?
-- The shares are of the observed pictures; cloudy ones are counted separately, in no share.
-- A month without any observation has no share at all (null), not a share of zero.
SELECT
  CAST(date_trunc('month', seen_at) AS DATE) AS month,
  count(CASE WHEN observed THEN 1 END) AS observed,
  count(CASE WHEN NOT observed THEN 1 END) AS not_observed,
  round(avg(CASE WHEN observed THEN
    CASE WHEN list_contains(labels, 'agriculture') THEN 1.0 ELSE 0.0 END END), 4)
    AS share_agriculture,
  round(avg(CASE WHEN observed THEN
    CASE WHEN list_contains(labels, 'cultivation') THEN 1.0 ELSE 0.0 END END), 4)
    AS share_cultivation,
  round(avg(CASE WHEN observed THEN
    CASE WHEN list_contains(labels, 'habitation') THEN 1.0 ELSE 0.0 END END), 4)
    AS share_habitation
FROM observations
GROUP BY month
ORDER BY month
