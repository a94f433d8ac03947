"""Every backbone computes what Keras' own network does, in layers that an artifact may have."""

from __future__ import annotations

import importlib
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import UsageError
from schemas.networks.keras_file import read_model
from tests.support.backbones import random_application, write_older_file, write_random_file
from train.converting.network import convert_network, write_network
from train.networks.backbone_weights import fetch_backbone, read_backbone_file
from train.networks.backbones import BACKBONES, SCALING, Backbone
from train.networks.registry import NETWORKS, with_bands
from train.networks.views import with_views

SIDE = 32
PIXELS = np.random.default_rng(0).integers(0, 256, (4, SIDE, SIDE, 3), dtype=np.uint8)
ALL = os.environ.get("BACKBONES") == "all"
QUICK = ("convnext_tiny", "efficientnetv2b0", "mobilenetv3large")
"""The networks that are always converted: together they have all kinds of layers, except two."""

MODULES = {"resnet50v2": "resnet_v2", "densenet121": "densenet"}
"""Those whose preprocessing is a function of Keras, not a part of its network."""

SMALL = BACKBONES["mobilenetv3large"]


@pytest.fixture(scope="module", params=[n for n in BACKBONES if ALL or n != "efficientnetv2s"])
def loaded(request, tmp_path_factory):
    """Keras' network with random weights, and ours with the same from a file, as Keras offers them
    or as its `save_weights` writes them."""
    backbone = BACKBONES[request.param]
    reference = random_application(backbone)
    path = tmp_path_factory.mktemp("weights") / "notop.weights.h5"
    if list(BACKBONES).index(backbone.name) % 2:
        reference.save_weights(path)
    else:
        write_older_file(reference, path)
    model = NETWORKS[backbone.name].build((SIDE, SIDE, 3), 5)
    read_backbone_file(path, backbone).load_into(model)
    return backbone, reference, model


def features(model):
    import keras

    vector = model.get_layer("average").output
    return keras.Model(model.inputs[0], vector)(PIXELS.astype(np.float32), training=False).numpy()


def expected(backbone: Backbone, reference) -> np.ndarray:
    """What Keras' network computes, averaged."""
    values = PIXELS.astype(np.float32)
    if name := MODULES.get(backbone.name):
        module = importlib.import_module(f"keras.applications.{name}")
        values = module.preprocess_input(values.copy())
    return reference(values, training=False).numpy().mean(axis=(1, 2))


def test_features_are_those_of_keras_own_network_and_preprocessing(loaded):
    backbone, reference, model = loaded
    wanted = expected(backbone, reference)
    assert np.ptp(wanted, axis=0).max() > 1e-2  # chips differ, or the test would prove nothing
    scale = np.abs(wanted).max()
    np.testing.assert_allclose(features(model) / scale, wanted / scale, atol=2e-5)


def test_a_saved_model_has_only_layers_that_an_artifact_may_have(loaded, tmp_path):
    import keras

    backbone, _, plain = loaded
    model = with_views(plain, 2) if backbone.name in ("resnet50v2", "mobilenetv3large") else plain
    model.save(tmp_path / "model.keras")
    found = read_model(tmp_path / "model.keras")
    found.check()
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        config = json.loads(archive.read("config.json"))
    assert {layer["module"] for layer in config["config"]["layers"]} == {"keras.layers"}
    if backbone.name in ("convnext_tiny", "mobilenetv3large"):
        found.write(tmp_path / "copy.keras")
        again = keras.models.load_model(tmp_path / "copy.keras", compile=False, safe_mode=True)
        values = PIXELS.astype(np.float32)
        np.testing.assert_array_equal(again(values), model(values))


def test_openvino_computes_the_same_scores_from_a_graph_that_a_reader_accepts(loaded, tmp_path):
    from pipelines.artifacts.openvino_network import OpenVinoNetwork

    backbone, _, model = loaded
    if not (ALL or backbone.name in QUICK):
        pytest.skip("takes long; BACKBONES=all converts it, too")
    checked = write_network(tmp_path, "float32", convert_network(model))
    found = OpenVinoNetwork(checked, "float32", (SIDE, SIDE, 3), 5)(PIXELS)
    wanted = model(PIXELS.astype(np.float32), training=False).numpy()
    assert np.ptp(wanted) > 1e-3
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_openvino_pads_and_joins_like_keras(tmp_path):
    """What resnet50v2 and densenet121 have, and the networks that are always converted do not."""
    import keras

    from pipelines.artifacts.openvino_network import OpenVinoNetwork

    layers = keras.layers
    pixels = keras.Input((SIDE, SIDE, 3))
    padded = layers.MaxPooling2D(3, strides=2)(layers.ZeroPadding2D(((1, 1), (1, 1)))(pixels))
    joined = layers.Concatenate()([padded, layers.Conv2D(4, 1)(padded)])
    vector = layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 255)(joined))
    model = keras.Model(pixels, layers.Dense(5, activation="sigmoid")(vector))
    checked = write_network(tmp_path, "float32", convert_network(model))
    found = OpenVinoNetwork(checked, "float32", (SIDE, SIDE, 3), 5)(PIXELS)
    np.testing.assert_allclose(found, model(PIXELS.astype(np.float32)), atol=1e-4)
    assert all(f'type="{kind}"' in checked.graph for kind in ("Pad", "Concat"))


def test_layers_have_the_same_names_however_many_networks_were_built_before():
    import keras

    names = []
    for _ in range(2):
        model = SMALL.build((SIDE, SIDE, 3), 5)
        names.append([layer.name for layer in model.layers])
        keras.layers.ReLU()(keras.layers.Add()([keras.Input((1,)), keras.Input((1,))]))
    assert names[0] == names[1]
    momenta = {getattr(layer, "momentum", 0.0) for layer in model.layers}
    assert momenta == {0.0, 0.9}  # of Keras' 0.999 nothing would arrive in a short training


# --- Bands ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "notop.h5"
    write_random_file(SMALL, path)
    return path, read_backbone_file(path, SMALL)


def scores_of(weights, pixels: np.ndarray, bands: tuple[str, ...]) -> np.ndarray:
    import keras

    model = with_bands(NETWORKS[SMALL.name], bands).build((SIDE, SIDE, len(bands)), 5)
    weights.load_into(model, bands)
    vector = keras.Model(model.inputs[0], model.get_layer("average").output)
    return vector(pixels.astype(np.float32), training=False).numpy()


def test_other_bands_in_any_order_change_nothing_at_the_start(small):
    rgb = scores_of(small[1], PIXELS, ("red", "green", "blue"))
    more = np.random.default_rng(1).integers(0, 256, (4, SIDE, SIDE, 2), dtype=np.uint8)
    pixels = np.concatenate([more[..., :1], PIXELS[..., ::-1], more[..., 1:]], axis=-1)
    wide = scores_of(small[1], pixels, ("B01", "blue", "green", "red", "near_infrared"))
    np.testing.assert_allclose(wide, rgb, atol=1e-4 * np.abs(rgb).max())


def test_each_band_is_scaled_like_its_own_channel():
    bands = ("blue", "green", "red", "near_infrared")
    backbone = BACKBONES["convnext_tiny"]
    model = with_bands(NETWORKS["convnext_tiny"], bands).build((SIDE, SIDE, 4), 2)
    found = model.get_layer(SCALING)(np.full((1, 1, 1, 4), 255, np.float32)).numpy().ravel()
    means, deviations = (list(v)[::-1] for v in backbone.scaling)
    wanted = (255 - np.array([*means, np.mean(means)])) / [*deviations, np.mean(deviations)]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


# --- Files that are refused ----------------------------------------------------------------------


def test_a_source_has_a_name_and_its_digest_depends_on_the_weights_alone(small, tmp_path):
    path, found = small
    assert found.source == "file notop.h5"
    (tmp_path / "other.h5").write_bytes(path.read_bytes())
    assert read_backbone_file(tmp_path / "other.h5", SMALL).digest == found.digest


@pytest.mark.parametrize("content", [b"", b"no weights", b"\x89HDF\r\n\x1a\n" + b"\0" * 600])
def test_a_file_that_is_not_hdf5_is_refused(tmp_path, content):
    (tmp_path / "w.h5").write_bytes(content)
    with pytest.raises(UsageError, match=r"--weights .*w\.h5: .*notop layout") as refused:
        read_backbone_file(tmp_path / "w.h5", SMALL)
    assert "\n" not in str(refused.value)


def test_a_file_of_another_network_or_with_infinite_values_is_refused(small, tmp_path):
    import h5py

    path, _ = small
    with pytest.raises(UsageError, match="ResNet50V2's weights") as refused:
        read_backbone_file(path, BACKBONES["resnet50v2"])
    assert "\n" not in str(refused.value)
    broken = tmp_path / "broken.h5"
    broken.write_bytes(path.read_bytes())
    with h5py.File(broken, "r+") as file:
        file["conv/conv/kernel"][...] = np.inf
    with pytest.raises(UsageError, match="not finite"):
        read_backbone_file(broken, SMALL)


def test_a_file_that_points_to_another_file_is_refused(small, tmp_path: Path):
    import h5py

    path, _ = small
    linked = tmp_path / "linked.h5"
    linked.write_bytes(path.read_bytes())
    with h5py.File(linked, "r+") as file:
        del file["conv"]
        file["conv"] = h5py.ExternalLink(str(path), "/conv")
    with pytest.raises(UsageError, match="link to another place"):
        read_backbone_file(linked, SMALL)


def test_without_a_network_imagenet_is_refused_with_what_to_do(monkeypatch):
    def unreachable(*_, **__):
        raise Exception("URL fetch failure on https://example: timed out")

    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", unreachable)
    monkeypatch.setenv("KERAS_HOME", "/nonexistent")
    with pytest.raises(UsageError, match=r"mobilenetv3large \(.*--weights FILE") as refused:
        fetch_backbone(SMALL)
    assert "\n" not in str(refused.value)
