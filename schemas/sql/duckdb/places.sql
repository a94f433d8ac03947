-- Table places, version 1. Written by: python -m schemas.render
CREATE TABLE places (
    place_id VARCHAR NOT NULL,
    geometry BLOB NOT NULL,
    bbox STRUCT(xmin DOUBLE, ymin DOUBLE, xmax DOUBLE, ymax DOUBLE) NOT NULL,
    latitude DOUBLE NOT NULL,
    longitude DOUBLE NOT NULL,
    h3_resolution BIGINT NOT NULL
);
COMMENT ON TABLE places IS 'The places that chips show, one row each: H3 cells.';
COMMENT ON COLUMN places.place_id IS 'An H3 cell, by its name, such as 8928308280fffff.';
COMMENT ON COLUMN places.geometry IS 'Outline of the cell (WGS 84, longitude first): a polygon, counter-clockwise; a multipolygon if it is cut at the 180th meridian. Unit: degrees.';
COMMENT ON COLUMN places.bbox IS 'Bounding box of geometry; null without one. xmin is greater than xmax if it crosses the 180th meridian. Unit: degrees.';
COMMENT ON COLUMN places.latitude IS 'Of the cell''s centre (WGS 84). Unit: degrees.';
COMMENT ON COLUMN places.longitude IS 'Of the cell''s centre (WGS 84). Unit: degrees.';
COMMENT ON COLUMN places.h3_resolution IS 'The same in all rows. Unit: level, 0 to 15.';
