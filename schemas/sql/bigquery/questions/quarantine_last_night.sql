-- What could not be scored in the last night, why, and what share of the night is that?
-- A chip that was tried several times counts once, with its last reason; a chip that was scored
-- since does not count. The last night is that of the view last_night: see there.
-- Made from sql/questions/quarantine_last_night.sql by: python -m schemas.render
WITH chips AS (
  SELECT
    chip_uri
  FROM forest_chips.chip_scores
  WHERE
    run_date = (
      SELECT
        run_date
      FROM forest_chips.last_night
    )
  UNION DISTINCT
  SELECT
    chip_uri
  FROM forest_chips.quarantine
  WHERE
    run_date = (
      SELECT
        run_date
      FROM forest_chips.last_night
    )
)
SELECT
  run_date,
  reason,
  COUNT(*) AS chips,
  ROUND(COUNT(*) * 1.0 / (
    SELECT
      COUNT(*)
    FROM chips
  ), 4) AS share_of_night,
  MIN(chip_uri) AS a_chip_uri,
  MIN(message) AS a_message
FROM forest_chips.open_quarantine
WHERE
  run_date = (
    SELECT
      run_date
    FROM forest_chips.last_night
  )
GROUP BY
  run_date,
  reason
ORDER BY
  chips DESC,
  reason NULLS LAST
