"""Scores become labels and rows."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipelines.elements import REJECTED, ScoredBatch
from pipelines.labelling import apply_thresholds, label_batch, likeliest_sky
from schemas.artifact import ModelArtifact
from schemas.labels import PLANET_LABELS, LabelSet
from schemas.render import file_schema
from schemas.tables import CHIP_COLUMNS, CHIP_MANIFEST, QUARANTINE, chip_scores
from tests.support import JPG

_NAMES = ("a", "b", "c")
_SCORES = hnp.arrays(
    np.float32, st.tuples(st.integers(0, 20), st.just(3)), elements=st.floats(0, 1, width=32)
)


@given(_SCORES, st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_a_label_holds_exactly_where_its_score_is_at_or_over_its_threshold(scores, thresholds):
    expected = [
        [name for name, score, t in zip(_NAMES, row, thresholds, strict=True) if float(score) >= t]
        for row in scores
    ]
    assert apply_thresholds(scores, thresholds, _NAMES).to_pylist() == expected


def test_a_score_equal_to_its_threshold_holds_and_the_next_lower_float_does_not():
    score = np.float32(0.3)
    below = np.nextafter(score, np.float32(0))
    labels = apply_thresholds(np.array([[score], [below]]), [float(score)], ["x"])
    assert labels.to_pylist() == [["x"], []]


def test_the_sky_label_is_the_likeliest_of_the_sky_group_whatever_the_other_labels_score():
    label_set = LabelSet(("road", "clear", "cloudy"), sky=("clear", "cloudy"))
    scores = np.array([[0.9, 0.2, 0.3], [0.9, 0.5, 0.1]], np.float32)
    assert likeliest_sky(scores, label_set).to_pylist() == ["cloudy", "clear"]


def test_without_a_sky_group_the_sky_label_is_null():
    scores = np.zeros((2, 2), np.float32)
    assert likeliest_sky(scores, LabelSet(("sea", "ship"))).to_pylist() == [None, None]


@pytest.fixture
def batch() -> ScoredBatch:
    names = [column.name for column in CHIP_COLUMNS]
    chips = pa.Table.from_pylist(
        [{"chip_uri": "/a/x.jpg", "chip_id": "x", "etag": "1", "size_bytes": 7}],
        file_schema(CHIP_MANIFEST),
    ).select(names)
    rejected = pa.Table.from_pylist(
        [{"chip_uri": "/a/y.jpg", "chip_id": "y", "reason": "empty", "message": "no bytes"}],
        REJECTED,
    )
    scores = np.linspace(0, 1, 17, dtype=np.float32)[None]
    return ScoredBatch(3, True, chips, scores, rejected, "float32")


def test_rows_carry_each_score_in_its_own_column_and_the_digests_of_what_made_them(batch):
    artifact = ModelArtifact("n", PLANET_LABELS, (0.5,) * 17, JPG, model_digest="m")
    now = datetime(2026, 11, 22, 6, tzinfo=UTC)
    labelled = label_batch(batch, artifact, now)

    row = labelled.rows.to_pylist()[0]
    assert [row[name] for name in PLANET_LABELS.score_columns] == list(batch.scores[0])
    assert row["labels"] == list(PLANET_LABELS.names[8:])
    assert row["sky_label"] == "haze"
    assert (row["chip_uri"], row["etag"], row["media_type"]) == ("/a/x.jpg", "1", "jpg")
    assert row["model_digest"] == "m"
    assert row["thresholds_digest"] == artifact.thresholds_digest
    assert row["scored_at"] == now
    assert labelled.rows.schema.equals(file_schema(chip_scores(PLANET_LABELS)))

    assert labelled.quarantine.schema.equals(file_schema(QUARANTINE))
    rejected = labelled.quarantine.to_pylist()[0]
    assert (rejected["chip_id"], rejected["reason"], rejected["model_digest"]) == (
        "y",
        "empty",
        "m",
    )
    assert rejected["quarantined_at"] == now
