-- Table alert_areas, version 1. Written by: python -m schemas.render
CREATE TABLE alert_areas (
    name VARCHAR NOT NULL,
    geometry BLOB NOT NULL,
    bbox STRUCT(xmin DOUBLE, ymin DOUBLE, xmax DOUBLE, ymax DOUBLE) NOT NULL
);
COMMENT ON TABLE alert_areas IS 'The areas that alerts and sites name, such as parks, territories and districts.';
COMMENT ON COLUMN alert_areas.name IS 'The area''s name.';
COMMENT ON COLUMN alert_areas.geometry IS 'The area (WGS 84, longitude first): polygon or multipolygon, counter-clockwise, cut at the 180th meridian. Unit: degrees.';
COMMENT ON COLUMN alert_areas.bbox IS 'Bounding box of geometry; null without one. xmin is greater than xmax if it crosses the 180th meridian. Unit: degrees.';
