-- Table runs, version 5. Written by: python -m schemas.render
CREATE TABLE runs (
    kind VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    reason VARCHAR,
    verdict VARCHAR,
    findings VARCHAR,
    listed BIGINT NOT NULL,
    skipped BIGINT NOT NULL,
    left_over BIGINT NOT NULL,
    scored BIGINT NOT NULL,
    quarantined BIGINT NOT NULL,
    no_data BIGINT,
    quarantined_by_reason VARCHAR,
    model_digest VARCHAR NOT NULL,
    thresholds_digest VARCHAR NOT NULL,
    threats VARCHAR[],
    precision VARCHAR,
    engine VARCHAR,
    bytes_read BIGINT,
    stage_seconds VARCHAR,
    versions VARCHAR NOT NULL,
    options VARCHAR NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    planned_at TIMESTAMP WITH TIME ZONE NOT NULL,
    held_at TIMESTAMP WITH TIME ZONE,
    published_at TIMESTAMP WITH TIME ZONE,
    commit_version BIGINT,
    plan_seconds DOUBLE NOT NULL,
    score_seconds DOUBLE NOT NULL,
    run_date DATE NOT NULL,
    run_id VARCHAR NOT NULL
);
COMMENT ON TABLE runs IS 'The scoring runs, one row each.';
COMMENT ON COLUMN runs.kind IS 'score: chips of an archive; replay: quarantined chips tried again; relabel: new thresholds on stored scores.';
COMMENT ON COLUMN runs.status IS 'published: its rows are in the tables; withdrawn: they were removed again; failed: it has no rows; held: they are in staging until an operator decides.';
COMMENT ON COLUMN runs.reason IS 'Why the run failed, is held or was withdrawn; else null.';
COMMENT ON COLUMN runs.verdict IS 'good or bad: how the run compares with those before it; null if not judged.';
COMMENT ON COLUMN runs.findings IS 'JSON array: the checks behind the verdict.';
COMMENT ON COLUMN runs.listed IS 'Chips found, each counted once. Unit: chips.';
COMMENT ON COLUMN runs.skipped IS 'Chips that this model had finished before. Unit: chips.';
COMMENT ON COLUMN runs.left_over IS 'Chips left to the next run. Unit: chips.';
COMMENT ON COLUMN runs.scored IS 'Chips with scores. Unit: chips.';
COMMENT ON COLUMN runs.quarantined IS 'Chips quarantined, each with a reason. Unit: chips.';
COMMENT ON COLUMN runs.no_data IS 'Windows of scenes that were not scored because too much of them is no data; they are not counted as quarantined. Null if the run scored chips. Unit: chips.';
COMMENT ON COLUMN runs.quarantined_by_reason IS 'JSON object: reason to number of chips. Unit: chips.';
COMMENT ON COLUMN runs.model_digest IS 'sha256 of what decides a score: weights, architecture, label order, preprocessing.';
COMMENT ON COLUMN runs.thresholds_digest IS 'sha256 of what chooses the labels: the thresholds and the sky rule.';
COMMENT ON COLUMN runs.threats IS 'The labels that count as threats from this run on; null: as before.';
COMMENT ON COLUMN runs.precision IS 'Precision that the workers computed scores in.';
COMMENT ON COLUMN runs.engine IS 'What computed them: tensorflow or openvino.';
COMMENT ON COLUMN runs.bytes_read IS 'Size of the chips that were read. Unit: bytes.';
COMMENT ON COLUMN runs.stage_seconds IS 'JSON object: time for reading, decoding (all threads together), waiting for pixels, scoring and writing, summed over all workers. Unit: seconds.';
COMMENT ON COLUMN runs.versions IS 'JSON object: package to version.';
COMMENT ON COLUMN runs.options IS 'JSON object: the options of the run.';
COMMENT ON COLUMN runs.started_at IS 'When planning began. Unit: UTC.';
COMMENT ON COLUMN runs.planned_at IS 'When the manifest was written. Unit: UTC.';
COMMENT ON COLUMN runs.held_at IS 'When the run was held; null if never. Unit: UTC.';
COMMENT ON COLUMN runs.published_at IS 'When the run was committed; null if never. Unit: UTC.';
COMMENT ON COLUMN runs.commit_version IS 'Its commit: later is newer; else null. Unit: version.';
COMMENT ON COLUMN runs.plan_seconds IS 'Time for listing and planning. Unit: seconds.';
COMMENT ON COLUMN runs.score_seconds IS 'Time of scoring, without pauses. Unit: seconds.';
COMMENT ON COLUMN runs.run_date IS 'Night that the run belongs to. Unit: UTC date.';
COMMENT ON COLUMN runs.run_id IS 'The run that made the row.';
