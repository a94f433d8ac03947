-- Table alerts, version 1. Written by: python -m schemas.render
CREATE TABLE alerts (
    alert_id VARCHAR NOT NULL,
    site_id VARCHAR,
    place_id VARCHAR NOT NULL,
    label VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    confidence BIGINT NOT NULL,
    first_detected TIMESTAMP WITH TIME ZONE NOT NULL,
    previous_clear TIMESTAMP WITH TIME ZONE NOT NULL,
    confirmed_at TIMESTAMP WITH TIME ZONE,
    last_seen TIMESTAMP WITH TIME ZONE NOT NULL,
    last_looked TIMESTAMP WITH TIME ZONE NOT NULL,
    dropped_at TIMESTAMP WITH TIME ZONE,
    ended_at TIMESTAMP WITH TIME ZONE,
    looks BIGINT NOT NULL,
    positives BIGINT NOT NULL,
    cloudy_looks BIGINT NOT NULL,
    max_score FLOAT NOT NULL,
    proven BOOLEAN,
    before_uri VARCHAR,
    after_uri VARCHAR NOT NULL,
    areas VARCHAR[],
    area_ha DOUBLE,
    latitude DOUBLE,
    longitude DOUBLE,
    geometry BLOB,
    bbox STRUCT(xmin DOUBLE, ymin DOUBLE, xmax DOUBLE, ymax DOUBLE),
    model_digest VARCHAR NOT NULL,
    thresholds_digest VARCHAR NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE alerts IS 'Where a label appeared on ground that was clear before, one row per alert, as of the last update.';
COMMENT ON COLUMN alerts.alert_id IS 'UUID (version 5) of the place, the label and the time of the first detection.';
COMMENT ON COLUMN alerts.site_id IS 'The site that it belongs to; null if it is dropped.';
COMMENT ON COLUMN alerts.place_id IS 'The H3 cell, or the address of the chip if it has no position.';
COMMENT ON COLUMN alerts.label IS 'What was seen.';
COMMENT ON COLUMN alerts.status IS 'low: seen, not confirmed; high: seen again in two of the next four looks; dropped: not confirmed in four looks or 180 days; ended: was high, then not seen in three looks in a row.';
COMMENT ON COLUMN alerts.confidence IS 'As in Global Forest Watch: 3 (high) if it was confirmed, else 2 (nominal). Unit: 2 or 3.';
COMMENT ON COLUMN alerts.first_detected IS 'The first look that showed it. Unit: UTC.';
COMMENT ON COLUMN alerts.previous_clear IS 'The last look before the first detection that did not show it. Unit: UTC.';
COMMENT ON COLUMN alerts.confirmed_at IS 'The look that made it high; else null. Unit: UTC.';
COMMENT ON COLUMN alerts.last_seen IS 'The last look that showed it. Unit: UTC.';
COMMENT ON COLUMN alerts.last_looked IS 'The last look while it was low or high, whatever it showed. Unit: UTC.';
COMMENT ON COLUMN alerts.dropped_at IS 'The fourth look, or the end of the 180 days, if it is dropped. Unit: UTC.';
COMMENT ON COLUMN alerts.ended_at IS 'The third look in a row that did not show it, if it is ended. Unit: UTC.';
COMMENT ON COLUMN alerts.looks IS 'Looks while it was low or high, the first detection included. Unit: days with a look.';
COMMENT ON COLUMN alerts.positives IS 'Those of them that showed it. Unit: days with a look.';
COMMENT ON COLUMN alerts.cloudy_looks IS 'Pictures of the place since the first detection in which cloud hid the ground. Unit: pictures.';
COMMENT ON COLUMN alerts.max_score IS 'The highest score of the looks that showed it. Unit: probability in [0, 1].';
COMMENT ON COLUMN alerts.proven IS 'Whether the label is proven for the model of after_uri (table models); null if not known.';
COMMENT ON COLUMN alerts.before_uri IS 'The clearest picture of the last look before that did not show it.';
COMMENT ON COLUMN alerts.after_uri IS 'The clearest picture of the first detection that shows it.';
COMMENT ON COLUMN alerts.areas IS 'Names of the areas that it touches, by name.';
COMMENT ON COLUMN alerts.area_ha IS 'Area of the cell; null without a position. Unit: hectares.';
COMMENT ON COLUMN alerts.latitude IS 'Of the centre of its (first) cell; null without a position. Unit: degrees.';
COMMENT ON COLUMN alerts.longitude IS 'Of the centre of its (first) cell; null without a position. Unit: degrees.';
COMMENT ON COLUMN alerts.geometry IS 'Outline of the cell (WGS 84, longitude first): a polygon, counter-clockwise; a multipolygon if it is cut at the 180th meridian; null without a position. Unit: degrees.';
COMMENT ON COLUMN alerts.bbox IS 'Bounding box of geometry; null without one. xmin is greater than xmax if it crosses the 180th meridian. Unit: degrees.';
COMMENT ON COLUMN alerts.model_digest IS 'The model that scored after_uri.';
COMMENT ON COLUMN alerts.thresholds_digest IS 'What chose the labels of after_uri.';
COMMENT ON COLUMN alerts.updated_at IS 'The update that last changed the row. Unit: UTC.';
