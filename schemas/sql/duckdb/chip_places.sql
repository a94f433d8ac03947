-- Table chip_places, version 1. Written by: python -m schemas.render
CREATE TABLE chip_places (
    footprint BLOB NOT NULL,
    place_id VARCHAR
);
COMMENT ON TABLE chip_places IS 'The places of each footprint of a chip, one row per footprint and place: the cells whose centre is in the footprint; if there is none, the cell of its own centre.';
COMMENT ON COLUMN chip_places.footprint IS 'geometry of chip_scores, byte by byte. Unit: degrees.';
COMMENT ON COLUMN chip_places.place_id IS 'An H3 cell, by its name; null if the footprint has too many cells: its chips are places of their own.';
