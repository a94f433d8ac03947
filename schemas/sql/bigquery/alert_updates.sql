-- Table alert_updates, version 1. Written by: python -m schemas.render
CREATE TABLE alert_updates (
  update_number INT64 NOT NULL OPTIONS (description = "Its place among the updates. Unit: from 1."),
  published_at TIMESTAMP NOT NULL OPTIONS (description = "When the update ran. Unit: UTC."),
  as_of TIMESTAMP NOT NULL OPTIONS (description = "The time as of which it looked. Unit: UTC."),
  labels ARRAY<STRING> OPTIONS (description = "The labels that alerts are about."),
  baseline DATE OPTIONS (description = "The last day of the baseline; null without one. Unit: UTC date."),
  h3_resolution INT64 OPTIONS (description = "Resolution of the cells; null without positions. Unit: 0 to 15."),
  areas INT64 NOT NULL OPTIONS (description = "Areas that are known. Unit: areas."),
  looks INT64 NOT NULL OPTIONS (description = "Looks that it read. Unit: looks."),
  changes INT64 NOT NULL OPTIONS (description = "Changes since the update before. Unit: changes."),
  low INT64 NOT NULL OPTIONS (description = "Alerts that are low. Unit: alerts."),
  high INT64 NOT NULL OPTIONS (description = "Alerts that are high. Unit: alerts."),
  dropped INT64 NOT NULL OPTIONS (description = "Alerts that are dropped. Unit: alerts."),
  ended INT64 NOT NULL OPTIONS (description = "Alerts that are ended. Unit: alerts."),
  sites INT64 NOT NULL OPTIONS (description = "Sites. Unit: sites.")
)
OPTIONS (description = "The updates of the alerts that found something new, one row each.");
