"""A network for OpenVINO on this processor: precisions, batches, threads, and what does not fit."""

import importlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pipelines.artifacts import openvino_network
from pipelines.artifacts.openvino_network import OpenVinoNetwork
from pipelines.errors import UsageError
from schemas.artifact import ArtifactError
from schemas.artifact_files import read_openvino
from tests.support.openvino_networks import add_to_artifact
from tests.support.samples import JPG, make_artifact

_PRECISIONS = ("float32", "bfloat16")
_PIXELS = np.random.default_rng(0).integers(0, 256, (150, 64, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def cnn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cnn")
    make_artifact(folder, network="cnn")
    return read_openvino(folder, add_to_artifact(folder), "float32")


@pytest.fixture(scope="module")
def mean_colour(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mean_colour")
    make_artifact(folder)
    return read_openvino(folder, add_to_artifact(folder), "float32")


def network(checked, precision="float32"):
    return OpenVinoNetwork(checked, precision, JPG.input_shape, 17)


def test_a_chip_has_the_same_scores_whatever_other_chips_are_in_its_batch(cnn):
    call = network(cnn)
    together = call(_PIXELS)
    assert (together.shape, together.dtype) == ((150, 17), np.float32)
    for part in (slice(0, 1), slice(3, 67), slice(100, 150)):
        np.testing.assert_allclose(call(_PIXELS[part]), together[part], atol=1e-6)


def test_pixels_may_be_a_view_and_must_not_be_writable(cnn):
    call = network(cnn)
    pixels = _PIXELS[:20].copy()
    pixels.flags.writeable = False
    np.testing.assert_allclose(call(pixels[::-2]), call(pixels)[::-2], atol=1e-6)


def test_threads_that_call_together_get_the_scores_of_their_own_chips(cnn):
    call = network(cnn)
    expected = call(_PIXELS)
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda i: call(_PIXELS[i : i + 3]), range(40)))
    for i, scores in enumerate(parts):
        np.testing.assert_allclose(scores, expected[i : i + 3], atol=1e-6)


@pytest.mark.parametrize("native", [True, False])
def test_auto_is_bfloat16_only_if_the_processor_has_it(cnn, mean_colour, monkeypatch, native):
    monkeypatch.setattr(openvino_network, "native_bfloat16", lambda: native)
    assert network(cnn, "auto").precision == ("bfloat16" if native else "float32")
    assert network(cnn, "float32").precision == "float32"
    assert network(cnn, "bfloat16").precision == "bfloat16"
    assert network(mean_colour, "auto").precision == "float32"
    assert network(mean_colour, "bfloat16").precision == "float32"


def settings(call):
    """The settings that OpenVINO compiled a network with."""
    request = call._idle.get()
    call._idle.put(request)
    model = request.get_compiled_model()
    return {
        name: model.get_property(name)
        for name in ("INFERENCE_PRECISION_HINT", "INFERENCE_NUM_THREADS", "NUM_STREAMS")
    }


def test_the_precision_is_a_hint_that_openvino_takes(cnn):
    hints = [settings(network(cnn, p))["INFERENCE_PRECISION_HINT"] for p in _PRECISIONS]
    assert [hint.get_type_name() for hint in hints] == ["f32", "bf16"]


def test_openvino_uses_the_cores_of_the_containers_share(cnn, monkeypatch):
    monkeypatch.setattr(openvino_network, "usable_cores", lambda: 1)
    found = settings(network(cnn))
    assert (found["INFERENCE_NUM_THREADS"], found["NUM_STREAMS"]) == (1, 1)


@pytest.mark.parametrize(
    ("cores", "chips", "streams"),
    [(1, 64, 1), (2, 64, 2), (5, 64, 1), (6, 64, 3), (16, 64, 4), (16, 2, 2), (16, 0, 1)],
)
def test_at_most_four_streams_share_the_cores_evenly_and_fewer_for_large_chips(
    cores, chips, streams
):
    assert openvino_network._streams(cores, chips) == streams


def test_a_stream_computes_64_chips_at_once_or_as_many_as_have_four_million_values_in_a_layer(
    cnn, mean_colour, monkeypatch
):
    # whose largest layers have 50 x 50 x 64 and 64 x 64 x 3 values
    for checked, sizes in ((cnn, [26, 26, 26, 26, 26, 20]), (mean_colour, [64, 64, 22])):
        call, found = network(checked), []
        monkeypatch.setattr(
            call, "_infer", lambda part, found=found: [found.append(len(part)), part[:, 0, 0]][1]
        )
        call(_PIXELS)
        assert found == sizes


def test_weights_of_8_bits_that_pass_through_layers_do_not_make_the_parts_smaller():
    openvino = openvino_network.import_openvino()
    opset, shape = importlib.import_module("openvino.opset13"), [4, 4, 3]
    pixels = opset.parameter([-1, *shape], np.uint8)
    values = opset.convert(opset.reshape(pixels, [0, 48], special_zero=True), np.float32)
    weights = opset.constant(np.ones((48, 500), np.int8))
    decoded = opset.multiply(opset.convert(weights, np.float32), np.float32(0.5))
    mean = opset.reduce_mean(opset.matmul(values, decoded, False, False), [1], keep_dims=True)
    assert openvino_network._largest_layer(openvino.Model([mean], [pixels])) == 500


def test_bfloat16_scores_differ_from_float32_by_little_and_come_as_float32(cnn):
    rounded = network(cnn, "bfloat16")(_PIXELS)
    assert rounded.dtype == np.float32
    assert np.abs(rounded - network(cnn)(_PIXELS)).max() < 0.05


def test_float16_is_refused_with_what_to_use(cnn):
    with pytest.raises(UsageError, match="float16 needs --engine tensorflow and a GPU"):
        network(cnn, "float16")


@pytest.mark.parametrize(
    ("shape", "labels"), [((64, 64, 4), 17), ((32, 32, 3), 17), (JPG.input_shape, 16)]
)
def test_a_network_for_other_chips_or_labels_is_refused(cnn, shape, labels):
    with pytest.raises(ArtifactError, match="takes and returns"):
        OpenVinoNetwork(cnn, "float32", shape, labels)


def test_a_network_whose_layers_do_not_fit_in_memory_is_refused_before_it_is_compiled(
    cnn, monkeypatch
):
    monkeypatch.setattr(openvino_network, "MOST_VALUES", 1000)
    with pytest.raises(ArtifactError, match="a layer of the OpenVINO network has"):
        network(cnn)


def test_a_graph_that_openvino_cannot_read_is_refused_in_one_line(cnn):
    from dataclasses import replace

    broken = replace(cnn, graph=cnn.graph.replace("<edge ", '<edge from-layer="7"', 1))
    with pytest.raises(ArtifactError, match=r"^OpenVINO 20\d\d.*$"):
        network(broken)
    missing = replace(cnn, graph=cnn.graph.replace('to-layer="3"', 'to-layer="999"', 1))
    with pytest.raises(ArtifactError, match=r"^OpenVINO 20\d\d.*$"):
        network(missing)
