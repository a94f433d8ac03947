-- Table models, version 2. Written by: python -m schemas.render
CREATE TABLE models (
    model_digest VARCHAR NOT NULL,
    thresholds_digest VARCHAR NOT NULL,
    label VARCHAR NOT NULL,
    threshold DOUBLE,
    positives BIGINT,
    measured_on VARCHAR,
    precision DOUBLE,
    precision_low DOUBLE,
    precision_high DOUBLE,
    recall DOUBLE,
    recall_low DOUBLE,
    recall_high DOUBLE,
    average_precision DOUBLE,
    average_precision_low DOUBLE,
    average_precision_high DOUBLE,
    proven BOOLEAN,
    run_date DATE NOT NULL,
    run_id VARCHAR NOT NULL
);
COMMENT ON TABLE models IS 'How far each label of each model can be trusted, one row per model, thresholds and label. The run is the first that was published with them.';
COMMENT ON COLUMN models.model_digest IS 'sha256 of what decides a score: weights, architecture, label order, preprocessing.';
COMMENT ON COLUMN models.thresholds_digest IS 'sha256 of what chooses the labels: the thresholds and the sky rule.';
COMMENT ON COLUMN models.label IS 'The label.';
COMMENT ON COLUMN models.threshold IS 'A chip has the label if its score is at or over it (unless the sky rule is argmax); null: never. Unit: probability in [0, 1].';
COMMENT ON COLUMN models.positives IS 'Chips with the label in validation and test together; null if not known. Unit: chips.';
COMMENT ON COLUMN models.measured_on IS 'What the figures were measured on: test, or validation if there is no test part; null if there are no figures.';
COMMENT ON COLUMN models.precision IS 'Share of the chips given the label that have it; null if not known. Unit: share in [0, 1].';
COMMENT ON COLUMN models.precision_low IS 'Lower end of the 95 % interval of precision; null below 5 positives. Unit: share in [0, 1].';
COMMENT ON COLUMN models.precision_high IS 'Upper end of the 95 % interval of precision; null below 5 positives. Unit: share in [0, 1].';
COMMENT ON COLUMN models.recall IS 'Share of the chips with the label that are given it; null if not known. Unit: share in [0, 1].';
COMMENT ON COLUMN models.recall_low IS 'Lower end of the 95 % interval of recall; null below 5 positives. Unit: share in [0, 1].';
COMMENT ON COLUMN models.recall_high IS 'Upper end of the 95 % interval of recall; null below 5 positives. Unit: share in [0, 1].';
COMMENT ON COLUMN models.average_precision IS 'Mean precision over all thresholds; null if not known. Unit: share in [0, 1].';
COMMENT ON COLUMN models.average_precision_low IS 'Lower end of the 95 % interval of average_precision; null below 5 positives. Unit: share in [0, 1].';
COMMENT ON COLUMN models.average_precision_high IS 'Upper end of the 95 % interval of average_precision; null below 5 positives. Unit: share in [0, 1].';
COMMENT ON COLUMN models.proven IS 'Whether positives is at least 10 and the threshold is not null; null if positives are not known.';
COMMENT ON COLUMN models.run_date IS 'Night that the run belongs to. Unit: UTC date.';
COMMENT ON COLUMN models.run_id IS 'The run that made the row.';
