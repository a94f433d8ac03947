-- What could not be scored in the last night, why, and what share of the night is that?
-- A chip that was tried several times counts once, with its last reason; a chip that was scored
-- since does not count. The last night is that of the view last_night: see there.
WITH chips AS (
  SELECT chip_uri FROM chip_scores WHERE run_date = (SELECT run_date FROM last_night)
  UNION DISTINCT
  SELECT chip_uri FROM quarantine WHERE run_date = (SELECT run_date FROM last_night)
)
SELECT
  run_date,
  reason,
  count(*) AS chips,
  round(count(*) * 1.0 / (SELECT count(*) FROM chips), 4) AS share_of_night,
  min(chip_uri) AS a_chip_uri,
  min(message) AS a_message
FROM open_quarantine
WHERE run_date = (SELECT run_date FROM last_night)
GROUP BY run_date, reason
ORDER BY chips DESC, reason
