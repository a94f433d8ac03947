-- Table verdicts, version 1. Written by: python -m schemas.render
CREATE TABLE verdicts (
    verdict_id VARCHAR NOT NULL,
    alert_id VARCHAR NOT NULL,
    site_id VARCHAR,
    place_id VARCHAR NOT NULL,
    label VARCHAR NOT NULL,
    first_detected TIMESTAMP WITH TIME ZONE NOT NULL,
    until TIMESTAMP WITH TIME ZONE NOT NULL,
    verdict VARCHAR NOT NULL,
    who VARCHAR,
    judged_at TIMESTAMP WITH TIME ZONE NOT NULL,
    note VARCHAR,
    recorded_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE verdicts IS 'What officers say about alerts, one row for each verdict and alert; a verdict about a site has a row for each alert that the site had. It counts for every alert of the same place and label whose time overlaps, whatever its alert_id is now.';
COMMENT ON COLUMN verdicts.verdict_id IS 'UUID (version 5) of what was recorded: the alert or site, the verdict, who, when and the note.';
COMMENT ON COLUMN verdicts.alert_id IS 'The alert, as it was then.';
COMMENT ON COLUMN verdicts.site_id IS 'The site, if the verdict is about one; else null.';
COMMENT ON COLUMN verdicts.place_id IS 'The H3 cell, or the address of the chip if it has no position.';
COMMENT ON COLUMN verdicts.label IS 'What the alert is about.';
COMMENT ON COLUMN verdicts.first_detected IS 'Where the time that it is about begins: the alert''s first detection. Unit: UTC.';
COMMENT ON COLUMN verdicts.until IS 'Where that time ends: the end of the alert; its last look or judged_at, whichever is later, if it had not ended. Unit: UTC.';
COMMENT ON COLUMN verdicts.verdict IS 'true: it is there; false: it is not; unclear: it could not be seen.';
COMMENT ON COLUMN verdicts.who IS 'Who judged.';
COMMENT ON COLUMN verdicts.judged_at IS 'When. Unit: UTC.';
COMMENT ON COLUMN verdicts.note IS 'What else they say.';
COMMENT ON COLUMN verdicts.recorded_at IS 'When the row was written. Unit: UTC.';
