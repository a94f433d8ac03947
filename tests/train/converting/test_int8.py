"""An int8 network is made from training chips, and judged on validation chips."""

import logging
import re
from dataclasses import replace

import numpy as np
import pytest

from pipelines.artifacts.openvino_network import OpenVinoNetwork
from pipelines.scoring.engines import doubt_about_int8
from schemas.artifact import ModelArtifact
from schemas.artifact_files import read_artifact, read_openvino, write_artifact
from schemas.labels import LabelSet
from tests.support.openvino_networks import add_to_artifact
from tests.support.samples import JPG, make_artifact
from train.converting import int8
from train.converting.int8 import Chips, compare, describe, lost_promises
from train.converting.quantising import quantise

_LABELS = LabelSet(("a", "b", "c"), ())
_THREE = ModelArtifact("cnn", _LABELS, (0.5, 0.25, 0.9), JPG, "0")


def chips(count=40):
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (count, 1, 1, 3))
    pixels = np.clip(colours + rng.integers(-40, 41, (count, 64, 64, 3)), 0, 255).astype(np.uint8)
    truth = (colours[:, 0, 0, :1] > np.linspace(30, 220, 17)).astype(np.uint8)
    return Chips(pixels, pixels, truth)


@pytest.fixture(scope="module")
def quantised(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quantised")
    make_artifact(folder, network="cnn")
    with pytest.MonkeyPatch.context() as patch:
        for limit in ("MOST_LOST_PRECISION", "MOST_DIFFERENT"):
            patch.setattr(int8, limit, 1.0)
        return folder, add_to_artifact(folder, chips())


def eight_bit_constants(folder):
    return len(re.findall('element_type="i8"', (folder / "openvino_int8.xml").read_text()))


def test_an_int8_network_that_cannot_promise_what_float32_promises_is_not_accepted(
    tmp_path, monkeypatch
):
    """The promise of b is lost, a keeps it, c is never reported."""
    names = ("a", "b", "c")
    scores = np.tile(np.linspace(0, 1, 100, dtype=np.float32)[:, None], 3)
    truth = (scores > 0.5).astype(np.uint8)
    promises = {
        name: {"precision": 0.9, "kept": name != "c", "chosen": 50, "correct": 50} for name in names
    }
    artifact = ModelArtifact("cnn", _LABELS, (0.5, 0.3, None), JPG, "0", promises=promises)
    assert lost_promises(artifact, scores, truth) == ["b"]
    assert lost_promises(replace(artifact, promises={}), scores, truth) == []

    make_artifact(tmp_path, network="cnn")
    for limit in ("MOST_LOST_PRECISION", "MOST_DIFFERENT"):
        monkeypatch.setattr(int8, limit, 1.0)
    before = read_artifact(tmp_path)
    promise = {
        before.label_set.names[0]: {"precision": 0.99, "kept": True, "chosen": 9, "correct": 9}
    }
    write_artifact(tmp_path, replace(before, promises=promise))
    # It tries whether a careful network keeps the promise; a quick one loses it as well.
    monkeypatch.setattr(
        int8, "quantise_carefully", lambda network, used, *_: quantise(network, used)
    )
    engines = add_to_artifact(tmp_path, chips()).engines
    found = engines["openvino"]["int8"]
    assert found["promises_lost"] == list(promise)  # 40 chips cannot promise 0.99
    assert found["accepted"] is False
    assert f"it cannot promise the precision of {before.label_set.names[0]}" in describe(found)
    assert "is promised for float32 alone" in doubt_about_int8(read_artifact(tmp_path))


def test_a_comparison_counts_what_differs_by_label_and_overall():
    exact = np.array([[0.9, 0.2, 0.1], [0.4, 0.3, 0.1], [0.6, 0.1, 0.2]], np.float32)
    scores = np.array([[0.9, 0.3, 0.1], [0.45, 0.3, 0.1], [0.4, 0.1, 0.2]], np.float32)
    truth = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0]], np.uint8)
    found = compare(_THREE, exact, scores, truth)
    assert found["decisions_differing"] == pytest.approx(2 / 9)
    assert found["largest_difference"] == pytest.approx(0.2)
    assert found["mean_average_precision"] == pytest.approx(
        {"float32": 1.0, "int8": (5 / 6 + 0.5) / 2}
    )
    a, b, c = (found["labels"][name] for name in "abc")
    assert a["average_precision"] == pytest.approx({"float32": 1.0, "int8": 5 / 6})
    assert a["f1"] == pytest.approx({"float32": 1.0, "int8": 2 / 3})
    assert b["f1"] == pytest.approx({"float32": 1.0, "int8": 2 / 3})
    assert (a["decisions_differing"], b["largest_difference"]) == pytest.approx((1 / 3, 0.1))
    assert c["average_precision"] == c["f1"] == {"float32": None, "int8": None}
    assert found["macro_f1"] == pytest.approx({"float32": 1.0, "int8": 2 / 3})


def test_equal_scores_differ_in_nothing():
    scores = np.random.default_rng(0).random((20, 3), np.float32)
    found = compare(_THREE, scores, scores, (scores > 0.5).astype(np.uint8))
    assert (found["decisions_differing"], found["largest_difference"]) == (0, 0)
    text = describe({**found, "chips": 20, "careful": False})
    assert "0.00% of the decisions differ, a score by up to 0.000" in text


def test_the_artifact_gets_an_int8_network_and_how_it_differs(quantised):
    folder, artifact = quantised
    assert {"openvino_int8.xml", "openvino_int8.bin"} < artifact.files.keys()
    known = artifact.engines["openvino"]
    assert known["versions"].keys() == {"openvino", "nncf"}
    found = known["int8"]
    assert (found["chips"], found["careful"], found["accepted"]) == (40, False, True)
    assert found["labels"].keys() == set(artifact.label_set.names)
    assert read_artifact(folder) == artifact
    networks = {
        kind: OpenVinoNetwork(read_openvino(folder, artifact, kind), precision, JPG.input_shape, 17)
        for kind, precision in (("float32", "float32"), ("int8", "int8"))
    }
    pixels = chips().validation
    exact, scores = (networks[kind](pixels) for kind in ("float32", "int8"))
    assert networks["int8"].precision == "int8"
    found = compare(artifact, exact, scores, chips().truth)
    assert found == {name: known["int8"][name] for name in found}
    assert 0 < found["largest_difference"] < 0.2
    weights = [len(read_openvino(folder, artifact, kind).weights) for kind in ("float32", "int8")]
    assert weights[1] < weights[0] / 3


def test_quantising_leaves_the_log_handlers_of_others_as_they_were(tmp_path, caplog):
    artifact = make_artifact(tmp_path, network="cnn")
    own = logging.StreamHandler()
    logging.getLogger("nncf").addHandler(own)
    try:
        add_to_artifact(tmp_path, chips())
    finally:
        logging.getLogger("nncf").removeHandler(own)
    assert artifact.engines == {}
    assert read_artifact(tmp_path).engines["openvino"]["int8"]["chips"] == 40
    assert own.level == logging.NOTSET
    logging.getLogger("pipelines.events").warning("still here")
    assert "still here" in caplog.text


def test_the_first_convolution_and_the_last_layer_are_not_in_8_bits(quantised):
    folder, artifact = quantised
    assert read_openvino(folder, artifact, "int8").convolutions == 3
    assert eight_bit_constants(folder) == 3  # two of three convolutions, one of two dense layers


def test_layers_that_hurt_stay_at_higher_precision(quantised, tmp_path, monkeypatch, capsys):
    _, first = quantised
    before = first.engines["openvino"]["int8"]
    monkeypatch.setattr(int8, "MOST_LOST_PRECISION", 1.0)
    monkeypatch.setattr(int8, "MOST_DIFFERENT", before["decisions_differing"] / 2)
    assert before["decisions_differing"] > 0
    make_artifact(tmp_path, network="cnn")
    artifact = add_to_artifact(tmp_path, chips())
    found = artifact.engines["openvino"]["int8"]
    assert (found["careful"], found["accepted"]) == (True, True)
    assert found["decisions_differing"] <= before["decisions_differing"] / 2
    assert eight_bit_constants(tmp_path) < 3
    assert "layers that hurt stay at higher precision" in capsys.readouterr().out


@pytest.mark.parametrize("worse", [False, True])
def test_a_network_that_stays_outside_of_the_limits_is_the_better_of_both_and_says_so(
    quantised, tmp_path, monkeypatch, capsys, worse
):
    """Accuracy control that changes nothing, and one that makes it worse."""

    def control(network, calibration, *judged):
        if worse:
            calibration = np.full_like(calibration[:1], 7)  # ranges that fit no chip
        return quantise(network, calibration)

    before = quantised[1].engines["openvino"]["int8"]
    monkeypatch.setattr(int8, "MOST_LOST_PRECISION", 1.0)
    monkeypatch.setattr(int8, "MOST_DIFFERENT", before["decisions_differing"] / 2)
    monkeypatch.setattr(int8, "quantise_carefully", control)
    make_artifact(tmp_path, network="cnn")
    found = add_to_artifact(tmp_path, chips()).engines["openvino"]["int8"]
    assert (found["careful"], found["accepted"]) == (not worse, False)
    assert found["decisions_differing"] == before["decisions_differing"]
    assert found["largest_difference"] == before["largest_difference"]
    assert "that it should be at most" in capsys.readouterr().out


def test_a_network_without_convolutions_gets_no_int8_network(tmp_path):
    make_artifact(tmp_path)
    artifact = add_to_artifact(tmp_path, chips())
    assert "int8" not in artifact.engines["openvino"]
    assert not list(tmp_path.glob("openvino_int8*"))
