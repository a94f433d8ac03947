-- Table quarantine, version 3. Written by: python -m schemas.render
CREATE TABLE quarantine (
    chip_uri VARCHAR NOT NULL,
    chip_id VARCHAR NOT NULL,
    scene_id VARCHAR,
    observed_at TIMESTAMP WITH TIME ZONE,
    lon_min DOUBLE,
    lat_min DOUBLE,
    lon_max DOUBLE,
    lat_max DOUBLE,
    geometry BLOB,
    bbox STRUCT(xmin DOUBLE, ymin DOUBLE, xmax DOUBLE, ymax DOUBLE),
    etag VARCHAR,
    size_bytes BIGINT,
    scene_bands VARCHAR,
    reason VARCHAR NOT NULL,
    message VARCHAR NOT NULL,
    model_digest VARCHAR NOT NULL,
    quarantined_at TIMESTAMP WITH TIME ZONE NOT NULL,
    run_date DATE NOT NULL,
    run_id VARCHAR NOT NULL
);
COMMENT ON TABLE quarantine IS 'Chips that a run could not score, each with its reason.';
COMMENT ON COLUMN quarantine.chip_uri IS 'Absolute address of the chip''s object.';
COMMENT ON COLUMN quarantine.chip_id IS 'File stem of the chip.';
COMMENT ON COLUMN quarantine.scene_id IS 'Scene that the chip was cut from, if known.';
COMMENT ON COLUMN quarantine.observed_at IS 'When the satellite took the picture, if known. Unit: UTC.';
COMMENT ON COLUMN quarantine.lon_min IS 'Western edge of the chip (WGS 84), if known. Unit: degrees.';
COMMENT ON COLUMN quarantine.lat_min IS 'Southern edge of the chip (WGS 84), if known. Unit: degrees.';
COMMENT ON COLUMN quarantine.lon_max IS 'Eastern edge of the chip (WGS 84), if known. Unit: degrees.';
COMMENT ON COLUMN quarantine.lat_max IS 'Northern edge of the chip (WGS 84), if known. Unit: degrees.';
COMMENT ON COLUMN quarantine.geometry IS 'Footprint of the chip (WGS 84, longitude first), if known: a polygon, counter-clockwise; a multipolygon if it is cut at the 180th meridian. Unit: degrees.';
COMMENT ON COLUMN quarantine.bbox IS 'Bounding box of geometry; null without one. xmin is greater than xmax if it crosses the 180th meridian. Unit: degrees.';
COMMENT ON COLUMN quarantine.etag IS 'The store''s version tag of the object when it was listed.';
COMMENT ON COLUMN quarantine.size_bytes IS 'Size of the object when it was listed. Unit: bytes.';
COMMENT ON COLUMN quarantine.scene_bands IS 'JSON: which bands of the scene the model takes, with scales and offsets, if a STAC item says.';
COMMENT ON COLUMN quarantine.reason IS 'One of a closed list: empty: the object has no bytes; truncated: the file ends before the picture does; not_an_image: the bytes are not a picture, whatever the file name says; unsupported_media_type: a picture, but neither JPEG, GeoTIFF nor PNG (GIF, WebP, BMP ...); media_type: a JPEG, GeoTIFF or PNG for a model that reads another of them; wrong_bands: not the bands or the sample type that the model reads, such as 4 x uint16 of a GeoTIFF; wrong_size: a side shorter than the artifact accepts; too_large: a side longer, or more bytes, than the artifact accepts; no_data: every pixel is no data, or 0 (of a window: too many): nothing to see, and not a fault; decode_error: the decoder failed for another reason; non_finite_score: the model''s scores are not all finite numbers; bad_shard: a tar of chips that is not a tar, is compressed, or is truncated; unreadable: the object could not be fetched from storage; out_of_memory: the device had too little memory even for this one chip.';
COMMENT ON COLUMN quarantine.message IS 'What was wrong with this chip.';
COMMENT ON COLUMN quarantine.model_digest IS 'sha256 of what decides a score: weights, architecture, label order, preprocessing.';
COMMENT ON COLUMN quarantine.quarantined_at IS 'When the chip was quarantined. Unit: UTC.';
COMMENT ON COLUMN quarantine.run_date IS 'Night that the run belongs to. Unit: UTC date.';
COMMENT ON COLUMN quarantine.run_id IS 'The run that made the row.';
