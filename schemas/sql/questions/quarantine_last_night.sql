-- What could not be scored in the latest night, why, and what share of the night is that?
-- A chip that was tried several times counts once, with its last reason; a chip that was scored
-- since does not count.
WITH night AS (
  SELECT max(run_date) AS run_date
  FROM (SELECT run_date FROM chip_scores UNION ALL SELECT run_date FROM quarantine) AS dates
),
chips AS (
  SELECT chip_uri FROM chip_scores WHERE run_date = (SELECT run_date FROM night)
  UNION DISTINCT
  SELECT chip_uri FROM quarantine WHERE run_date = (SELECT run_date FROM night)
)
SELECT
  run_date,
  reason,
  count(*) AS chips,
  round(count(*) * 1.0 / (SELECT count(*) FROM chips), 4) AS share_of_night,
  min(chip_uri) AS a_chip_uri,
  min(message) AS a_message
FROM open_quarantine
WHERE run_date = (SELECT run_date FROM night)
GROUP BY run_date, reason
ORDER BY chips DESC, reason
