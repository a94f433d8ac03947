-- Table sites, version 1. Written by: python -m schemas.render
CREATE TABLE sites (
    site_id VARCHAR NOT NULL,
    label VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    first_detected TIMESTAMP WITH TIME ZONE NOT NULL,
    last_seen TIMESTAMP WITH TIME ZONE NOT NULL,
    alerts BIGINT NOT NULL,
    cells BIGINT NOT NULL,
    area_ha DOUBLE,
    positives BIGINT NOT NULL,
    max_score FLOAT NOT NULL,
    proven BOOLEAN,
    before_uri VARCHAR,
    after_uri VARCHAR NOT NULL,
    pictures VARCHAR[],
    areas VARCHAR[],
    latitude DOUBLE,
    longitude DOUBLE,
    geometry BLOB,
    bbox STRUCT(xmin DOUBLE, ymin DOUBLE, xmax DOUBLE, ymax DOUBLE),
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL
);
COMMENT ON TABLE sites IS 'Neighbouring alerts of one label that are low, high or ended, one row per group of neighbours.';
COMMENT ON COLUMN sites.site_id IS 'alert_id of its earliest alert; when sites grow together, the older id stays.';
COMMENT ON COLUMN sites.label IS 'What was seen.';
COMMENT ON COLUMN sites.status IS 'high if one of its alerts is; else low if one is; else ended.';
COMMENT ON COLUMN sites.first_detected IS 'The first look that showed it. Unit: UTC.';
COMMENT ON COLUMN sites.last_seen IS 'The last look that showed it. Unit: UTC.';
COMMENT ON COLUMN sites.alerts IS 'Its alerts. Unit: alerts.';
COMMENT ON COLUMN sites.cells IS 'Its places. Unit: places.';
COMMENT ON COLUMN sites.area_ha IS 'Area of its cells, each counted once; null without a position. Unit: hectares.';
COMMENT ON COLUMN sites.positives IS 'The most positive looks that one of its alerts has. Unit: days with a look.';
COMMENT ON COLUMN sites.max_score IS 'The highest score of the looks that showed it. Unit: probability in [0, 1].';
COMMENT ON COLUMN sites.proven IS 'Whether the label is proven for the model of after_uri (table models); null if not known.';
COMMENT ON COLUMN sites.before_uri IS 'The clearest picture of the last look before that did not show it.';
COMMENT ON COLUMN sites.after_uri IS 'The clearest picture of the first detection that shows it.';
COMMENT ON COLUMN sites.pictures IS 'after_uri of its alerts, each address once, in the order of detection.';
COMMENT ON COLUMN sites.areas IS 'Names of the areas that it touches, by name.';
COMMENT ON COLUMN sites.latitude IS 'Of the centre of its (first) cell; null without a position. Unit: degrees.';
COMMENT ON COLUMN sites.longitude IS 'Of the centre of its (first) cell; null without a position. Unit: degrees.';
COMMENT ON COLUMN sites.geometry IS 'Outline of the cells together (WGS 84, longitude first): polygon or multipolygon, counter-clockwise, cut at the 180th meridian; null without a position. Unit: degrees.';
COMMENT ON COLUMN sites.bbox IS 'Bounding box of geometry; null without one. xmin is greater than xmax if it crosses the 180th meridian. Unit: degrees.';
COMMENT ON COLUMN sites.updated_at IS 'The update that last changed the row. Unit: UTC.';
