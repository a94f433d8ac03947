"""A unit is staged completely or not at all."""

import io
import json

import apache_beam as beam
import pyarrow.parquet as pq
import pytest

from pipelines.elements import LabelledBatch
from pipelines.errors import UsageError
from pipelines.runs.staging import (
    StagedUnit,
    StageUnitsFn,
    read_units,
    stage_unit,
    staged_numbers,
)
from pipelines.storage import store
from schemas.labels import PLANET_LABELS
from schemas.render import file_schema
from schemas.tables import chip_scores
from tests.support.staged_runs import labelled


@pytest.fixture(params=["local", "gs", "s3"])
def place(request, tmp_path) -> str:
    """A staging folder in each kind of store."""
    if request.param == "local":
        return str(tmp_path)
    return f"{request.getfixturevalue(f'{request.param}_uri')}/staging"


def test_a_unit_is_staged_as_two_files_and_a_record_with_their_counts(tmp_path):
    batches = [labelled(4, 0, 3, 1, False), labelled(4, 3, 2, 0, True)]
    unit = stage_unit(batches, str(tmp_path))

    assert (unit.number, unit.scored, unit.quarantined) == (4, 5, 1)
    assert unit.reasons == {"empty": 1}
    scores = pq.read_table(unit.scores.uri)
    assert scores["chip_id"].to_pylist() == ["0", "1", "2", "3", "4"]
    assert pq.read_table(unit.quarantine.uri)["chip_id"].to_pylist() == ["bad0"]
    record = store.read_bytes(str(tmp_path / "units" / "000004.json"))
    assert StagedUnit.from_json(record) == unit


def test_the_files_have_column_descriptions_and_zstd_compression(tmp_path):
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


def test_a_unit_of_a_later_release_is_refused(tmp_path):
    unit = stage_unit([labelled(3, 0, 1, 0, True)], str(tmp_path))
    later = json.dumps({**json.loads(unit.to_json()), "tide": 1})
    with pytest.raises(UsageError, match=r"staged unit 3 is of a later release \(it has tide\)"):
        StagedUnit.from_json(later)


def test_of_a_unit_staged_twice_the_first_counts(place):
    first = stage_unit([labelled(0, 0, 3, 1, True)], place)
    late_twin = stage_unit([labelled(0, 0, 2, 2, True)], place)
    assert (late_twin, late_twin.scored) == (first, 3)
    assert read_units(place, [0]) == [first]
    assert pq.read_table(io.BytesIO(store.read_bytes(first.scores.uri))).num_rows == 3


def test_a_unit_is_staged_once_its_record_exists(place):
    assert staged_numbers(place) == []
    stage_unit([labelled(12, 0, 3, 1, True)], place)
    half = stage_unit([labelled(3, 0, 3, 0, True)], place)
    store.write_bytes(f"{place}/units/000007-dead.scores.parquet", b"")
    assert staged_numbers(place) == [3, 12]
    assert read_units(place, [3]) == [half]


def test_units_in_one_bundle_are_staged_one_after_the_other(tmp_path):
    fn = StageUnitsFn(str(tmp_path))
    fn.start_bundle()
    staged = []
    for unit in (0, 1):
        staged += list(fn.process(labelled(unit, 0, 2, 0, False)))
        staged += list(fn.process(labelled(unit, 2, 1, 0, True)))
    fn.finish_bundle()
    assert [StagedUnit.from_json(text).scored for text in staged] == [3, 3]


def test_a_unit_without_its_last_batch_raises_an_error_and_stages_nothing(tmp_path):
    fn = StageUnitsFn(str(tmp_path))
    fn.start_bundle()
    assert list(fn.process(labelled(0, 0, 2, 0, False))) == []
    with pytest.raises(RuntimeError, match="unit 0 ended without its last batch"):
        fn.finish_bundle()
    with pytest.raises(RuntimeError, match="unit 0 ended without its last batch"):
        list(fn.process(labelled(1, 0, 2, 0, False)))
    assert list(tmp_path.iterdir()) == []


def test_a_retried_bundle_starts_without_batches_of_the_failed_one(tmp_path):
    fn = StageUnitsFn(str(tmp_path))
    fn.start_bundle()
    list(fn.process(labelled(0, 0, 2, 0, False)))
    fn.start_bundle()
    (record,) = fn.process(labelled(0, 0, 3, 0, True))
    assert StagedUnit.from_json(record).scored == 3


def test_the_transform_is_one_dofn_between_batches_and_text(tmp_path):
    from pipelines.runs.staging import StageUnits

    with beam.Pipeline(runner="FnApiRunner") as pipeline:
        staged = (
            pipeline
            | beam.Create([0, 1], reshuffle=False)
            | beam.Map(lambda unit: labelled(unit, 0, 2, 1, True)).with_output_types(LabelledBatch)
            | StageUnits(str(tmp_path))
        )
        assert staged.element_type is str
    assert len(list((tmp_path / "units").iterdir())) == 6
