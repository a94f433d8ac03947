"""A unit is staged whole or not at all."""

from datetime import UTC, datetime

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import storage
from pipelines.elements import REJECTED, LabelledBatch, ScoredBatch
from pipelines.labelling import label_batch
from pipelines.staging import StagedUnit, StageUnitsFn, stage_unit
from schemas.artifact import ModelArtifact
from schemas.labels import PLANET_LABELS
from schemas.render import file_schema
from schemas.tables import CHIP_COLUMNS, CHIP_MANIFEST, chip_scores
from tests.support import JPG

_ARTIFACT = ModelArtifact("n", PLANET_LABELS, (0.5,) * 17, JPG, model_digest="m")
_NAMES = [column.name for column in CHIP_COLUMNS]


def labelled(unit: int, first: int, scored: int, rejected: int, last: bool) -> LabelledBatch:
    """A batch of a unit, chips numbered from `first`."""
    rows = [{"chip_uri": f"/{n}.jpg", "chip_id": str(n)} for n in range(first, first + scored)]
    chips = pa.Table.from_pylist(rows, file_schema(CHIP_MANIFEST)).select(_NAMES)
    bad = [
        {"chip_uri": f"/bad{n}.jpg", "chip_id": f"bad{n}", "reason": "empty", "message": "none"}
        for n in range(first, first + rejected)
    ]
    scores = np.tile(np.linspace(0, 1, 17, dtype=np.float32), (scored, 1))
    batch = ScoredBatch(unit, last, chips, scores, pa.Table.from_pylist(bad, REJECTED), "float32")
    return label_batch(batch, _ARTIFACT, datetime.now(UTC))


def test_a_unit_leaves_its_rows_in_two_files_and_a_record_that_counts_them(tmp_path):
    batches = [labelled(4, 0, 3, 1, False), labelled(4, 3, 2, 0, True)]
    unit = stage_unit(batches, str(tmp_path))

    assert (unit.number, unit.scored, unit.quarantined) == (4, 5, 1)
    assert unit.reasons == {"empty": 1}
    scores = pq.read_table(unit.scores.uri)
    assert scores["chip_id"].to_pylist() == ["0", "1", "2", "3", "4"]
    assert pq.read_table(unit.quarantine.uri)["chip_id"].to_pylist() == ["bad0"]
    record = storage.read_bytes(str(tmp_path / "units" / "000004.json"))
    assert StagedUnit.from_json(record) == unit


def test_the_files_carry_every_columns_meaning_and_are_compressed_with_zstd(tmp_path):
    unit = stage_unit([labelled(0, 0, 3, 0, True)], str(tmp_path))
    file = pq.ParquetFile(unit.scores.uri)
    expected = file_schema(chip_scores(PLANET_LABELS))
    assert file.schema_arrow.field("score_road").metadata == expected.field("score_road").metadata
    assert b"probability" in file.schema_arrow.field("score_road").metadata[b"unit"]
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    assert file.metadata.num_row_groups == 1


def test_a_unit_of_rejected_chips_alone_has_no_scores_file(tmp_path):
    unit = stage_unit([labelled(0, 0, 0, 2, True)], str(tmp_path))
    assert unit.scores is None
    assert unit.quarantined == 2


def test_a_unit_staged_twice_leaves_one_set_of_files(tmp_path):
    for _ in range(2):
        stage_unit([labelled(0, 0, 3, 1, True)], str(tmp_path))
    names = sorted(path.name for path in (tmp_path / "units").iterdir())
    assert names == ["000000.json", "000000.quarantine.parquet", "000000.scores.parquet"]


def test_units_in_one_bundle_are_staged_one_after_the_other(tmp_path):
    fn = StageUnitsFn(str(tmp_path))
    fn.start_bundle()
    staged = []
    for unit in (0, 1):
        staged += list(fn.process(labelled(unit, 0, 2, 0, False)))
        staged += list(fn.process(labelled(unit, 2, 1, 0, True)))
    fn.finish_bundle()
    assert [StagedUnit.from_json(text).scored for text in staged] == [3, 3]


def test_a_unit_that_loses_its_end_is_a_loud_error_and_stages_nothing(tmp_path):
    fn = StageUnitsFn(str(tmp_path))
    fn.start_bundle()
    assert list(fn.process(labelled(0, 0, 2, 0, False))) == []
    with pytest.raises(RuntimeError, match="unit 0 ended without its last batch"):
        fn.finish_bundle()
    with pytest.raises(RuntimeError, match="unit 0 ended without its last batch"):
        list(fn.process(labelled(1, 0, 2, 0, False)))
    assert list(tmp_path.iterdir()) == []


def test_a_retried_bundle_starts_without_what_the_failed_one_left(tmp_path):
    fn = StageUnitsFn(str(tmp_path))
    fn.start_bundle()
    list(fn.process(labelled(0, 0, 2, 0, False)))
    fn.start_bundle()
    (record,) = fn.process(labelled(0, 0, 3, 0, True))
    assert StagedUnit.from_json(record).scored == 3


def test_the_transform_is_one_dofn_between_batches_and_text(tmp_path):
    from pipelines.staging import StageUnits

    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        staged = (
            pipeline
            | beam.Create([0, 1], reshuffle=False)
            | beam.Map(lambda unit: labelled(unit, 0, 2, 1, True)).with_output_types(LabelledBatch)
            | StageUnits(str(tmp_path))
        )
        assert staged.element_type is str
    assert len(list((tmp_path / "units").iterdir())) == 6
