"""Scores become labels and rows."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipelines.elements import REJECTED, ScoredBatch
from pipelines.scoring.labelling import label_batch, name_labels, name_sky
from schemas.artifact import ModelArtifact
from schemas.chip_columns import CHIP_NAMES
from schemas.labels import PLANET_LABELS, LabelSet
from schemas.render import file_schema
from schemas.tables import CHIP_MANIFEST, QUARANTINE, chip_scores
from tests.support.samples import JPG


@given(hnp.arrays(bool, st.tuples(st.integers(0, 20), st.just(3))))
def test_each_chip_carries_the_names_of_the_labels_chosen_for_it(chosen):
    expected = [[name for name, held in zip("abc", row, strict=True) if held] for row in chosen]
    assert name_labels(chosen, tuple("abc")).to_pylist() == expected


def test_the_sky_label_is_the_likeliest_of_the_sky_group_whatever_the_other_labels_score():
    label_set = LabelSet(("road", "clear", "cloudy"), sky=("clear", "cloudy"))
    scores = np.array([[0.9, 0.2, 0.3], [0.9, 0.5, 0.1]], np.float32)
    assert name_sky(scores, label_set).to_pylist() == ["cloudy", "clear"]


def test_without_a_sky_group_the_sky_label_is_null():
    scores = np.zeros((2, 2), np.float32)
    assert name_sky(scores, LabelSet(("sea", "ship"))).to_pylist() == [None, None]


@pytest.fixture
def batch() -> ScoredBatch:
    names = [*CHIP_NAMES]
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


def test_rows_follow_the_sky_rule_of_the_artifact_which_is_in_their_digest(batch):
    by_threshold = ModelArtifact("n", PLANET_LABELS, (0.01,) * 17, JPG, model_digest="m")
    by_score = replace(by_threshold, sky_rule="argmax")
    rows = [
        label_batch(batch, artifact, datetime(2026, 11, 22, tzinfo=UTC)).rows.to_pylist()[0]
        for artifact in (by_threshold, by_score)
    ]
    assert rows[0]["labels"] == list(PLANET_LABELS.names[1:])
    assert rows[1]["labels"] == list(PLANET_LABELS.names[3:])  # haze has the highest score
    assert rows[0]["thresholds_digest"] != rows[1]["thresholds_digest"]
