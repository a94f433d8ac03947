"""Each kind of network from labelled chips through its artifact to scores in the tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from beam_jobs import score_chips
from pipelines.commands import exit_code
from pipelines.imaging import decoding
from pipelines.tables import delta_tables
from schemas.artifact_files import read_artifact
from tests.support.drawn_chips import draw_labelled_jpgs, write_labels
from train.__main__ import main
from train.judging.measuring import predict_scores
from train.sample.archive import write_sample_archive

SKY = ("clear", "partly_cloudy", "cloudy", "haze")


def train(folder: Path, network: str, *flags: str) -> int:
    common = ["--chips", folder / "chips", "--labels", folder / "labels.csv", "--epochs", "1"]
    common += ["--artifact", folder / network, "--network", network]
    return main([str(argument) for argument in (*common, *flags)])


def score(folder: Path, network: str) -> list[dict]:
    """The rows that the scoring job publishes."""
    flags = ["--chips", folder / "chips", "--artifact", folder / network, "--output", folder]
    flags += ["--precision", "float32"]
    assert exit_code(score_chips.main, [str(flag) for flag in flags]) == 0
    table = delta_tables.open_table(str(folder), "chip_scores")
    return delta_tables.open_dataset(table).to_table().to_pylist()


def test_cnn_sky_learns_only_sky_labels_and_is_scored_and_measured_on_them(tmp_path, capsys):
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


@pytest.mark.parametrize(("bands", "count"), [("all", 4), ("rgb", 3)])
def test_a_model_of_tifs_scores_tifs_as_it_was_trained_to_read_them(tmp_path, bands, count):
    import keras

    archive = write_sample_archive(tmp_path, 6, media_type="tif")
    assert train(tmp_path, "cnn", "--bands", bands, "--image_size", "26") == 0
    preprocessing = read_artifact(tmp_path / "cnn").preprocessing
    assert preprocessing.input_shape == (26, 26, count)
    assert preprocessing.scaling is not None
    assert len({low for low, _ in preprocessing.scaling}) == count  # each band has its own

    data = [path.read_bytes() for path in archive.chip_paths]
    pixels = np.stack([decoding.decode_chip(chip, preprocessing) for chip in data])
    assert pixels.reshape(-1, count).std(axis=0).min() > 10  # no band is lost in its scaling
    model = keras.models.load_model(tmp_path / "cnn/model.keras", compile=False)
    rows = sorted(score(tmp_path, "cnn"), key=lambda row: row["chip_id"])
    assert [row["chip_id"] for row in rows] == [path.stem for path in archive.chip_paths]
    scores = [[v for name, v in row.items() if name.startswith("score_")] for row in rows]
    np.testing.assert_allclose(scores, predict_scores(model, pixels), atol=1e-6)


def test_bands_all_is_refused_before_any_work_if_the_network_takes_only_colours(tmp_path, capsys):
    write_sample_archive(tmp_path, 8, media_type="tif")
    assert train(tmp_path, "cnn_grey", "--bands", "all") == 2
    message = "--bands all: cnn_grey takes red, green, blue, not all of blue, green, red, near_"
    assert message in capsys.readouterr().err
