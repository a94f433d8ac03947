-- Table expired_chips, version 1. Written by: python -m schemas.render
CREATE TABLE expired_chips (
    chip_uri VARCHAR NOT NULL,
    etag VARCHAR,
    model_digest VARCHAR NOT NULL,
    run_date DATE NOT NULL,
    run_id VARCHAR NOT NULL
);
COMMENT ON TABLE expired_chips IS 'Chips whose rows were removed because of their age; they are not scored again.';
COMMENT ON COLUMN expired_chips.chip_uri IS 'Absolute address of the chip''s object.';
COMMENT ON COLUMN expired_chips.etag IS 'The store''s version tag of the object when it was listed.';
COMMENT ON COLUMN expired_chips.model_digest IS 'sha256 of what decides a score: weights, architecture, label order, preprocessing.';
COMMENT ON COLUMN expired_chips.run_date IS 'Night that the run belongs to. Unit: UTC date.';
COMMENT ON COLUMN expired_chips.run_id IS 'The run that made the row.';
