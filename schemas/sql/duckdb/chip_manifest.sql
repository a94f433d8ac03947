-- Table chip_manifest, version 3. Written by: python -m schemas.render
CREATE TABLE chip_manifest (
    chip_uri VARCHAR NOT NULL,
    chip_id VARCHAR NOT NULL,
    scene_id VARCHAR,
    observed_at TIMESTAMP WITH TIME ZONE,
    lon_min DOUBLE,
    lat_min DOUBLE,
    lon_max DOUBLE,
    lat_max DOUBLE,
    geometry BLOB,
    etag VARCHAR,
    size_bytes BIGINT,
    modified_at TIMESTAMP WITH TIME ZONE,
    shard_uri VARCHAR,
    offset_bytes BIGINT,
    scene_uri VARCHAR,
    x_px BIGINT,
    y_px BIGINT,
    width_px BIGINT,
    height_px BIGINT,
    header_uri VARCHAR,
    scene_bands VARCHAR
);
COMMENT ON TABLE chip_manifest IS 'The chips that a run scores; a row group is a unit of work.';
COMMENT ON COLUMN chip_manifest.chip_uri IS 'Absolute address of the chip''s object.';
COMMENT ON COLUMN chip_manifest.chip_id IS 'File stem of the chip.';
COMMENT ON COLUMN chip_manifest.scene_id IS 'Scene that the chip was cut from, if known.';
COMMENT ON COLUMN chip_manifest.observed_at IS 'When the satellite took the picture, if known. Unit: UTC.';
COMMENT ON COLUMN chip_manifest.lon_min IS 'Western edge of the chip (WGS 84), if known. Unit: degrees.';
COMMENT ON COLUMN chip_manifest.lat_min IS 'Southern edge of the chip (WGS 84), if known. Unit: degrees.';
COMMENT ON COLUMN chip_manifest.lon_max IS 'Eastern edge of the chip (WGS 84), if known. Unit: degrees.';
COMMENT ON COLUMN chip_manifest.lat_max IS 'Northern edge of the chip (WGS 84), if known. Unit: degrees.';
COMMENT ON COLUMN chip_manifest.geometry IS 'Footprint of the chip (WGS 84, longitude first), if known: a polygon, counter-clockwise; a multipolygon if it is cut at the 180th meridian. Unit: degrees.';
COMMENT ON COLUMN chip_manifest.etag IS 'The store''s version tag of the object when it was listed.';
COMMENT ON COLUMN chip_manifest.size_bytes IS 'Size of the object when it was listed. Unit: bytes.';
COMMENT ON COLUMN chip_manifest.modified_at IS 'When the object was last written. Unit: UTC.';
COMMENT ON COLUMN chip_manifest.shard_uri IS 'Address of the tar that contains the chip, if any.';
COMMENT ON COLUMN chip_manifest.offset_bytes IS 'Where in that tar the chip begins; null if the tar itself is quarantined. Unit: bytes.';
COMMENT ON COLUMN chip_manifest.scene_uri IS 'Address of the scene that the chip is a window of, if any.';
COMMENT ON COLUMN chip_manifest.x_px IS 'First column of the window; null if the scene is rejected. Unit: pixels.';
COMMENT ON COLUMN chip_manifest.y_px IS 'First row of the window. Unit: pixels.';
COMMENT ON COLUMN chip_manifest.width_px IS 'Columns of the window. Unit: pixels.';
COMMENT ON COLUMN chip_manifest.height_px IS 'Rows of the window. Unit: pixels.';
COMMENT ON COLUMN chip_manifest.header_uri IS 'Where the scene''s header is stored, if it is.';
COMMENT ON COLUMN chip_manifest.scene_bands IS 'JSON: which bands of the scene the model takes, with scales and offsets, if a STAC item says.';
