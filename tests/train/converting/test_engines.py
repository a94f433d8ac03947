"""The network for OpenVINO scores like the Keras model it was made from."""

import logging
import sys

import numpy as np
import pytest

from pipelines.artifacts.openvino_network import OpenVinoNetwork
from schemas.artifact_files import read_artifact, read_openvino
from tests.support.openvino_networks import add_to_artifact
from tests.support.samples import make_artifact
from train.converting import engines
from train.converting.engines import TOLERANCE, add_openvino, random_chips
from train.judging.calibration import fold_temperatures
from train.judging.measuring import predict_scores
from train.networks.backbones import BACKBONES
from train.networks.registry import NETWORKS
from train.networks.views import with_views

_SIDE = 32
STUDIED = sorted(NETWORKS.keys() - BACKBONES.keys())  # tests of backbones are in their own module


def model_of(network, bands, views=1, temperatures=False, pooling=None, side=_SIDE):
    """A model with random weights, whose scores are not all near 0.5."""
    import keras

    keras.utils.set_random_seed(0)
    build, extra = NETWORKS[network].build, {"pooling": pooling} if pooling else {}
    model = build((side, side, bands), 5, **extra)
    rng = np.random.default_rng(0)
    last = model.layers[-1]
    kernel, bias = last.get_weights()
    last.set_weights([rng.normal(0, 1, kernel.shape), rng.normal(0, 1, bias.shape)])
    model = with_views(model, views)
    if temperatures:
        fold_temperatures(model, np.array([0.5, 1.0, 1.7, 3.0, 0.8]))
    return model


def converted_scores(folder, model, pixels):
    from train.converting.network import convert_network, write_network

    checked = write_network(folder, "float32", convert_network(model))
    return OpenVinoNetwork(checked, "float32", pixels.shape[1:], 5)(pixels)


@pytest.mark.parametrize(
    ("network", "bands", "asked"),
    [
        *((name, 3, {}) for name in STUDIED),
        *((name, 4, {}) for name in STUDIED if name != "cnn_grey"),
        *((name, 3, {"views": views}) for name in ("mean_colour", "vgg16") for views in (2, 4, 8)),
        ("cnn", 4, {"views": 8}),
        ("cnn_batch_norm", 4, {"views": 4, "temperatures": True}),
        ("vgg16", 3, {"temperatures": True}),
        ("vgg16", 4, {"pooling": "average", "side": 64}),
        ("cnn", 3, {"pooling": "average"}),
    ],
)
def test_scores_in_float32_are_those_of_keras(tmp_path, network, bands, asked):
    model = model_of(network, bands, **asked)
    pixels = random_chips(tuple(model.input_shape[1:]))
    expected = predict_scores(model, pixels)
    assert expected.std() > 0.01
    scores = converted_scores(tmp_path, model, pixels)
    np.testing.assert_allclose(scores, expected, atol=TOLERANCE)
    assert (scores.shape, scores.dtype) == (expected.shape, np.float32)


def test_the_artifact_records_what_the_network_was_converted_from(tmp_path):
    before = make_artifact(tmp_path, network="cnn")
    after = add_to_artifact(tmp_path)
    assert after.model_digest == before.model_digest
    assert set(after.files) == {*before.files, "openvino.xml", "openvino.bin"}
    assert after.engines["openvino"]["model_digest"] == before.model_digest
    assert read_artifact(tmp_path) == after
    assert read_openvino(tmp_path, after, "float32").convolutions == 3


def test_a_network_with_other_scores_than_keras_is_not_kept(tmp_path, monkeypatch, capsys):
    artifact, other = make_artifact(tmp_path, network="cnn"), model_of("cnn", 3, side=64)
    convert = engines.convert_network
    monkeypatch.setattr(engines, "convert_network", lambda model: convert(with_labels(other)))
    assert add_openvino(tmp_path, artifact, with_labels(model_of("cnn", 3, side=64)))
    monkeypatch.setattr(engines, "convert_network", lambda model: convert(with_labels(other, 1)))
    assert add_openvino(tmp_path, artifact, with_labels(other)) == {}
    assert (
        "so TensorFlow scores this model: its scores differ from Keras'" in capsys.readouterr().out
    )
    assert not list(tmp_path.glob("openvino*"))


def with_labels(model, seed=0):
    """The model with 17 labels."""
    import keras

    keras.utils.set_random_seed(seed)
    return keras.Model(
        model.inputs, keras.layers.Dense(17, "sigmoid", name=f"s{seed}")(model.layers[-1].input)
    )


def test_a_network_that_openvino_cannot_convert_stays_with_tensorflow_and_says_so(
    tmp_path, monkeypatch, capsys
):
    def fail(model):
        raise RuntimeError("no such operation\nat length")

    artifact = make_artifact(tmp_path, network="cnn")
    monkeypatch.setattr(engines, "convert_network", fail)
    assert add_openvino(tmp_path, artifact, None) == {}
    assert capsys.readouterr().out == (
        "Not converted for OpenVINO, so TensorFlow scores this model: no such operation\n"
    )
    assert not list(tmp_path.glob("openvino*"))


def test_a_failed_conversion_leaves_the_logging_of_the_process_as_it_was(tmp_path, capsys):
    import keras
    import tensorflow as tf

    class Unknown(keras.layers.Layer):
        def call(self, inputs):
            return tf.math.lgamma(inputs)

    root = logging.getLogger()
    before = root.level, [*root.filters], [*root.handlers]
    model = keras.Sequential([keras.Input((8, 8, 3)), Unknown(), keras.layers.Flatten()])
    assert add_openvino(tmp_path, make_artifact(tmp_path, network="cnn"), model) == {}
    assert "Not converted for OpenVINO" in capsys.readouterr().out
    assert (root.level, root.filters, root.handlers) == before


def test_nothing_is_converted_if_openvino_is_not_there(tmp_path, monkeypatch, capsys):
    artifact = make_artifact(tmp_path, network="cnn")
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    assert add_openvino(tmp_path, artifact, None) == {}
    assert "OpenVINO, which is not installed" in capsys.readouterr().out


def test_converting_does_not_load_the_package_that_reports_to_openvinos_maker(tmp_path):
    make_artifact(tmp_path)
    add_to_artifact(tmp_path)
    assert sys.modules["openvino_telemetry"] is None
