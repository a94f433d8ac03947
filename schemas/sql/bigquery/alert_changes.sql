-- Table alert_changes, version 1. Written by: python -m schemas.render
CREATE TABLE alert_changes (
  alert_id STRING NOT NULL OPTIONS (description = "UUID (version 5) of the place, the label and the time of the first detection."),
  step INT64 NOT NULL OPTIONS (description = "Its place among the changes of this alert. Unit: from 1."),
  place_id STRING NOT NULL OPTIONS (description = "The H3 cell, or the address of the chip if it has no position."),
  label STRING NOT NULL OPTIONS (description = "What was seen."),
  from_status STRING OPTIONS (description = "Status before; null for a new alert."),
  to_status STRING NOT NULL OPTIONS (description = "Status after; retracted if the alert is no longer found, because of a late picture, a withdrawn run, new thresholds or other options."),
  changed_at TIMESTAMP NOT NULL OPTIONS (description = "The look that changed it, or the end of the 180 days; the first detection if it is retracted. Unit: UTC."),
  published_at TIMESTAMP NOT NULL OPTIONS (description = "When the update ran. Unit: UTC."),
  as_of TIMESTAMP NOT NULL OPTIONS (description = "The time as of which it looked. Unit: UTC.")
)
OPTIONS (description = "Every change of an alert's status, in the order in which updates published them.");
