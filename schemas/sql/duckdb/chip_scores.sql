-- Table chip_scores, version 4. Written by: python -m schemas.render
CREATE TABLE chip_scores (
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
    modified_at TIMESTAMP WITH TIME ZONE,
    observed_at_source VARCHAR,
    no_data_share DOUBLE,
    scene_bands VARCHAR,
    media_type VARCHAR NOT NULL,
    score_clear FLOAT,
    score_partly_cloudy FLOAT,
    score_cloudy FLOAT,
    score_haze FLOAT,
    score_primary FLOAT,
    score_agriculture FLOAT,
    score_road FLOAT,
    score_water FLOAT,
    score_cultivation FLOAT,
    score_habitation FLOAT,
    score_bare_ground FLOAT,
    score_selective_logging FLOAT,
    score_artisinal_mine FLOAT,
    score_blooming FLOAT,
    score_slash_burn FLOAT,
    score_conventional_mine FLOAT,
    score_blow_down FLOAT,
    labels VARCHAR[] NOT NULL,
    sky_label VARCHAR,
    model_digest VARCHAR NOT NULL,
    thresholds_digest VARCHAR NOT NULL,
    scored_at TIMESTAMP WITH TIME ZONE NOT NULL,
    run_date DATE NOT NULL,
    run_id VARCHAR NOT NULL
);
COMMENT ON TABLE chip_scores IS 'Scored chips: scores and the labels chosen from them, one row per chip and run; a relabelling has one for each picture (etag) of a chip.';
COMMENT ON COLUMN chip_scores.chip_uri IS 'Absolute address of the chip''s object.';
COMMENT ON COLUMN chip_scores.chip_id IS 'File stem of the chip.';
COMMENT ON COLUMN chip_scores.scene_id IS 'Scene that the chip was cut from, if known.';
COMMENT ON COLUMN chip_scores.observed_at IS 'When the satellite took the picture, if known. Unit: UTC.';
COMMENT ON COLUMN chip_scores.lon_min IS 'Western edge of the chip (WGS 84), if known. Unit: degrees.';
COMMENT ON COLUMN chip_scores.lat_min IS 'Southern edge of the chip (WGS 84), if known. Unit: degrees.';
COMMENT ON COLUMN chip_scores.lon_max IS 'Eastern edge of the chip (WGS 84), if known. Unit: degrees.';
COMMENT ON COLUMN chip_scores.lat_max IS 'Northern edge of the chip (WGS 84), if known. Unit: degrees.';
COMMENT ON COLUMN chip_scores.geometry IS 'Footprint of the chip (WGS 84, longitude first), if known: a polygon, counter-clockwise; a multipolygon if it is cut at the 180th meridian. Unit: degrees.';
COMMENT ON COLUMN chip_scores.bbox IS 'Bounding box of geometry; null without one. xmin is greater than xmax if it crosses the 180th meridian. Unit: degrees.';
COMMENT ON COLUMN chip_scores.etag IS 'The store''s version tag of the object when it was listed.';
COMMENT ON COLUMN chip_scores.size_bytes IS 'Size of the object when it was listed. Unit: bytes.';
COMMENT ON COLUMN chip_scores.modified_at IS 'When the object was last written. Unit: UTC.';
COMMENT ON COLUMN chip_scores.observed_at_source IS 'Where observed_at is from; null without one, and in rows of earlier releases. given: the sidecar or the manifest says when it was taken; tif_tags: the GeoTIFF''s tags say when it was taken (never its file date).';
COMMENT ON COLUMN chip_scores.no_data_share IS 'Share of the pixels that are no data; null if the chip is not a window of a scene. Unit: ratio in [0, 1].';
COMMENT ON COLUMN chip_scores.scene_bands IS 'JSON: which bands of the scene the model takes, with scales and offsets, if a STAC item says.';
COMMENT ON COLUMN chip_scores.media_type IS 'jpg, tif or png, from the bytes.';
COMMENT ON COLUMN chip_scores.score_clear IS 'Score of the label ''clear'': the model''s probability that it applies; null if the model does not have this label. Unit: probability in [0, 1].';
COMMENT ON COLUMN chip_scores.score_partly_cloudy IS 'Score of the label ''partly_cloudy'': the model''s probability that it applies; null if the model does not have this label. Unit: probability in [0, 1].';
COMMENT ON COLUMN chip_scores.score_cloudy IS 'Score of the label ''cloudy'': the model''s probability that it applies; null if the model does not have this label. Unit: probability in [0, 1].';
COMMENT ON COLUMN chip_scores.score_haze IS 'Score of the label ''haze'': the model''s probability that it applies; null if the model does not have this label. Unit: probability in [0, 1].';
COMMENT ON COLUMN chip_scores.score_primary IS 'Score of the label ''primary'': the model''s probability that it applies; null if the model does not have this label. Unit: probability in [0, 1].';
COMMENT ON COLUMN chip_scores.score_agriculture IS 'Score of the label ''agriculture'': the model''s probability that it applies; null if the model does not have this label. Unit: probability in [0, 1].';
COMMENT ON COLUMN chip_scores.score_road IS 'Score of the label ''road'': the model''s probability that it applies; null if the model does not have this label. Unit: probability in [0, 1].';
COMMENT ON COLUMN chip_scores.score_water IS 'Score of the label ''water'': the model''s probability that it applies; null if the model does not have this label. Unit: probability in [0, 1].';
COMMENT ON COLUMN chip_scores.score_cultivation IS 'Score of the label ''cultivation'': the model''s probability that it applies; null if the model does not have this label. Unit: probability in [0, 1].';
COMMENT ON COLUMN chip_scores.score_habitation IS 'Score of the label ''habitation'': the model''s probability that it applies; null if the model does not have this label. Unit: probability in [0, 1].';
COMMENT ON COLUMN chip_scores.score_bare_ground IS 'Score of the label ''bare_ground'': the model''s probability that it applies; null if the model does not have this label. Unit: probability in [0, 1].';
COMMENT ON COLUMN chip_scores.score_selective_logging IS 'Score of the label ''selective_logging'': the model''s probability that it applies; null if the model does not have this label. Unit: probability in [0, 1].';
COMMENT ON COLUMN chip_scores.score_artisinal_mine IS 'Score of the label ''artisinal_mine'': the model''s probability that it applies; null if the model does not have this label. Unit: probability in [0, 1].';
COMMENT ON COLUMN chip_scores.score_blooming IS 'Score of the label ''blooming'': the model''s probability that it applies; null if the model does not have this label. Unit: probability in [0, 1].';
COMMENT ON COLUMN chip_scores.score_slash_burn IS 'Score of the label ''slash_burn'': the model''s probability that it applies; null if the model does not have this label. Unit: probability in [0, 1].';
COMMENT ON COLUMN chip_scores.score_conventional_mine IS 'Score of the label ''conventional_mine'': the model''s probability that it applies; null if the model does not have this label. Unit: probability in [0, 1].';
COMMENT ON COLUMN chip_scores.score_blow_down IS 'Score of the label ''blow_down'': the model''s probability that it applies; null if the model does not have this label. Unit: probability in [0, 1].';
COMMENT ON COLUMN chip_scores.labels IS 'Labels whose score is at or over their threshold, in label order. May have no sky label, or two: each label is decided independently.';
COMMENT ON COLUMN chip_scores.sky_label IS 'The most likely label of the sky group; null if the label set has no such group.';
COMMENT ON COLUMN chip_scores.model_digest IS 'sha256 of what decides a score: weights, architecture, label order, preprocessing.';
COMMENT ON COLUMN chip_scores.thresholds_digest IS 'sha256 of what chooses the labels: the thresholds and the sky rule.';
COMMENT ON COLUMN chip_scores.scored_at IS 'When the chip was scored. Unit: UTC.';
COMMENT ON COLUMN chip_scores.run_date IS 'Night that the run belongs to. Unit: UTC date.';
COMMENT ON COLUMN chip_scores.run_id IS 'The run that made the row.';
