"""Each kind of network from labelled chips through its artifact to scores in the tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from beam_jobs import score_chips
from beam_jobs.command import exit_code
from pipelines import delta_tables
from schemas.artifact import read_artifact
from tests.drawn_chips import draw_labelled_jpgs, write_labels
from train.__main__ import main

SKY = ("clear", "partly_cloudy", "cloudy", "haze")


def train(folder: Path, network: str, *flags: str) -> int:
    common = ["--chips", folder / "chips", "--labels", folder / "labels.csv", "--epochs", "1"]
    common += ["--artifact", folder / network, "--network", network]
    return main([str(argument) for argument in (*common, *flags)])


def score(folder: Path, network: str) -> list[dict]:
    """The rows that the scoring job publishes."""
    flags = ["--chips", folder / "chips", "--artifact", folder / network, "--output", folder]
    assert exit_code(score_chips.main, [str(flag) for flag in flags]) == 0
    table = delta_tables.open_table(str(folder), "chip_scores")
    return delta_tables.open_dataset(table).to_table().to_pylist()


def test_cnn_sky_learns_the_sky_alone_and_is_scored_and_measured_as_such(tmp_path, capsys):
    tags = draw_labelled_jpgs(tmp_path / "chips", 8)
    write_labels(tmp_path / "labels.csv", {**tags, "c1": "primary", "c2": "cloudy"})
    assert train(tmp_path, "cnn_sky", "--image_size", "26") == 0
    artifact = read_artifact(tmp_path / "cnn_sky")
    assert artifact.label_set.names == artifact.label_set.sky == SKY
    assert sum(artifact.training["chips"].values()) == 7
    assert artifact.training["set_aside"]["chips_without_learned_label"] == 1
    assert artifact.training["positives"]["train"].keys() == set(SKY)

    rows = score(tmp_path, "cnn_sky")
    assert len(rows) == 8
    columns = [f"score_{name}" for name in SKY]
    for row in rows:
        assert [name for name in row if name.startswith("score_")] == columns
        assert sum(row[column] for column in columns) == pytest.approx(1, abs=1e-6)
        assert row["sky_label"] == SKY[int(np.argmax([row[column] for column in columns]))]

    flags = ["--chips", str(tmp_path / "chips"), "--labels", str(tmp_path / "labels.csv")]
    assert main(["evaluate", "--artifact", str(tmp_path / "cnn_sky"), *flags]) == 0
    assert "chips without learned label: 1" in capsys.readouterr().out
    write_labels(tmp_path / "labels.csv", {"c0": "claer"})
    assert main(["evaluate", "--artifact", str(tmp_path / "cnn_sky"), *flags]) == 2
    assert "unknown labels: 'claer'" in capsys.readouterr().err


def test_cnn_sky_without_a_sky_group_is_refused(tmp_path, capsys):
    draw_labelled_jpgs(tmp_path / "chips", 3)
    write_labels(tmp_path / "labels.csv", {"c0": "ship", "c1": "dock", "c2": "ship"})
    assert train(tmp_path, "cnn_sky") == 2
    assert "no sky group" in capsys.readouterr().err


def test_cnn_grey_is_trained_and_scored_on_colour_chips_of_128_pixels(tmp_path):
    write_labels(tmp_path / "labels.csv", draw_labelled_jpgs(tmp_path / "chips", 4))
    assert train(tmp_path, "cnn_grey") == 0
    preprocessing = read_artifact(tmp_path / "cnn_grey").preprocessing
    assert preprocessing.input_shape == (128, 128, 3)
    assert len(score(tmp_path, "cnn_grey")) == 4
