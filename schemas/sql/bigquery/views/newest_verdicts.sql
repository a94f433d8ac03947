-- One row per alert that an officer has judged: the newest verdict about it.
-- A verdict is about a label at a place over a time. It counts for every alert of that place and
-- label whose time overlaps, also if the alert has another alert_id since, because a late picture or
-- a withdrawn run moved its first detection.
--   verdict  true: it is there; false: it is not; unclear: it could not be seen
-- Made from sql/views/newest_verdicts.sql by: python -m schemas.render
SELECT
  alerts.alert_id,
  alerts.site_id,
  alerts.place_id,
  alerts.label,
  alerts.status,
  verdicts.verdict,
  verdicts.who,
  verdicts.judged_at,
  verdicts.note,
  verdicts.recorded_at
FROM forest_chips.alerts
JOIN forest_chips.verdicts
  ON verdicts.place_id = alerts.place_id
  AND verdicts.label = alerts.label
  AND verdicts.first_detected <= COALESCE(alerts.ended_at, alerts.dropped_at, alerts.last_looked)
  AND verdicts.until >= alerts.first_detected
WHERE
  TRUE
QUALIFY
  ROW_NUMBER() OVER (
    PARTITION BY alerts.alert_id
    ORDER BY verdicts.judged_at DESC, verdicts.recorded_at DESC, verdicts.verdict_id DESC
  ) = 1
