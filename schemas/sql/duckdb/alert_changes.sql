-- Table alert_changes, version 1. Written by: python -m schemas.render
CREATE TABLE alert_changes (
    alert_id VARCHAR NOT NULL,
    step BIGINT NOT NULL,
    place_id VARCHAR NOT NULL,
    label VARCHAR NOT NULL,
    from_status VARCHAR,
    to_status VARCHAR NOT NULL,
    changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    published_at TIMESTAMP WITH TIME ZONE NOT NULL,
    as_of TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE alert_changes IS 'Every change of an alert''s status, in the order in which updates published them.';
COMMENT ON COLUMN alert_changes.alert_id IS 'UUID (version 5) of the place, the label and the time of the first detection.';
COMMENT ON COLUMN alert_changes.step IS 'Its place among the changes of this alert. Unit: from 1.';
COMMENT ON COLUMN alert_changes.place_id IS 'The H3 cell, or the address of the chip if it has no position.';
COMMENT ON COLUMN alert_changes.label IS 'What was seen.';
COMMENT ON COLUMN alert_changes.from_status IS 'Status before; null for a new alert.';
COMMENT ON COLUMN alert_changes.to_status IS 'Status after; retracted if the alert is no longer found, because of a late picture, a withdrawn run, new thresholds or other options.';
COMMENT ON COLUMN alert_changes.changed_at IS 'The look that changed it, or the end of the 180 days; the first detection if it is retracted. Unit: UTC.';
COMMENT ON COLUMN alert_changes.published_at IS 'When the update ran. Unit: UTC.';
COMMENT ON COLUMN alert_changes.as_of IS 'The time as of which it looked. Unit: UTC.';
