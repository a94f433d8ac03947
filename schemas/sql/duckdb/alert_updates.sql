-- Table alert_updates, version 1. Written by: python -m schemas.render
CREATE TABLE alert_updates (
    update_number BIGINT NOT NULL,
    published_at TIMESTAMP WITH TIME ZONE NOT NULL,
    as_of TIMESTAMP WITH TIME ZONE NOT NULL,
    labels VARCHAR[] NOT NULL,
    baseline DATE,
    h3_resolution BIGINT,
    areas BIGINT NOT NULL,
    looks BIGINT NOT NULL,
    changes BIGINT NOT NULL,
    low BIGINT NOT NULL,
    high BIGINT NOT NULL,
    dropped BIGINT NOT NULL,
    ended BIGINT NOT NULL,
    sites BIGINT NOT NULL
);
COMMENT ON TABLE alert_updates IS 'The updates of the alerts that found something new, one row each.';
COMMENT ON COLUMN alert_updates.update_number IS 'Its place among the updates. Unit: from 1.';
COMMENT ON COLUMN alert_updates.published_at IS 'When the update ran. Unit: UTC.';
COMMENT ON COLUMN alert_updates.as_of IS 'The time as of which it looked. Unit: UTC.';
COMMENT ON COLUMN alert_updates.labels IS 'The labels that alerts are about.';
COMMENT ON COLUMN alert_updates.baseline IS 'The last day of the baseline; null without one. Unit: UTC date.';
COMMENT ON COLUMN alert_updates.h3_resolution IS 'Resolution of the cells; null without positions. Unit: 0 to 15.';
COMMENT ON COLUMN alert_updates.areas IS 'Areas that are known. Unit: areas.';
COMMENT ON COLUMN alert_updates.looks IS 'Looks that it read. Unit: looks.';
COMMENT ON COLUMN alert_updates.changes IS 'Changes since the update before. Unit: changes.';
COMMENT ON COLUMN alert_updates.low IS 'Alerts that are low. Unit: alerts.';
COMMENT ON COLUMN alert_updates.high IS 'Alerts that are high. Unit: alerts.';
COMMENT ON COLUMN alert_updates.dropped IS 'Alerts that are dropped. Unit: alerts.';
COMMENT ON COLUMN alert_updates.ended IS 'Alerts that are ended. Unit: alerts.';
COMMENT ON COLUMN alert_updates.sites IS 'Sites. Unit: sites.';
