"""The model on a worker."""

import numpy as np
import pytest

from pipelines import storage
from pipelines.classifier import Classifier, open_artifact, resolve_precision
from pipelines.errors import UsageError
from schemas.artifact import ArtifactError
from tests.support import make_artifact

_PIXELS = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def vgg16(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vgg16")
    return folder, make_artifact(folder, network="vgg16")


def test_scores_equal_those_of_the_model_as_keras_loads_it(vgg16):
    import keras

    folder, artifact = vgg16
    scores = Classifier(folder, artifact, "float32").score(_PIXELS)
    plain = keras.models.load_model(folder / "model.keras")
    expected = plain(_PIXELS.astype(np.float32), training=False).numpy()
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_a_chip_has_the_same_scores_whatever_stands_beside_it(vgg16):
    classifier = Classifier(*vgg16, "float32")
    together = classifier.score(_PIXELS)
    alone = np.concatenate([classifier.score(_PIXELS[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(alone, together[:5], atol=1e-6)


def test_bfloat16_scores_differ_from_float32_by_little_and_come_as_float32(vgg16):
    exact = Classifier(*vgg16, "float32").score(_PIXELS)
    classifier = Classifier(*vgg16, "bfloat16")
    rounded = classifier.score(_PIXELS)
    assert classifier.precision == "bfloat16"
    assert rounded.dtype == np.float32
    difference = np.abs(exact - rounded).max()
    assert 0 < difference < 0.05


def test_no_chips_have_no_scores(vgg16):
    assert Classifier(*vgg16, "float32").score(_PIXELS[:0]).shape == (0, 17)


def test_a_model_without_convolutions_stays_at_float32(tmp_path):
    artifact = make_artifact(tmp_path)
    assert Classifier(tmp_path, artifact, "bfloat16").precision == "float32"


@pytest.mark.parametrize(("native", "resolved"), [(True, "bfloat16"), (False, "float32")])
def test_auto_means_bfloat16_where_the_processor_multiplies_it(monkeypatch, native, resolved):
    monkeypatch.setattr("pipelines.classifier.native_bfloat16", lambda: native)
    assert resolve_precision("auto", has_gpu=False) == resolved
    assert resolve_precision("auto", has_gpu=True) == "bfloat16"
    assert resolve_precision("float32", has_gpu=True) == "float32"


def test_float16_without_a_gpu_is_refused_with_what_to_use_instead():
    with pytest.raises(UsageError, match=r"float16 needs a GPU.*float32 or bfloat16"):
        resolve_precision("float16", has_gpu=False)
    assert resolve_precision("float16", has_gpu=True) == "float16"


def test_an_artifact_with_another_digest_than_planned_is_refused_with_both(tmp_path):
    artifact = make_artifact(tmp_path)
    with pytest.raises(ArtifactError, match=f"0000 then, {artifact.model_digest} now"):
        open_artifact(str(tmp_path), expected_digest="0000")


def test_a_remote_artifact_is_fetched_once_and_again_when_it_changes(tmp_path, gs_uri):
    def upload(seed):
        artifact = make_artifact(tmp_path / str(seed), seed=seed)
        for path in (tmp_path / str(seed)).iterdir():
            storage.write_bytes(f"{gs_uri}/model/{path.name}", path.read_bytes())
        return artifact

    first = upload(1)
    folder, opened = open_artifact(f"{gs_uri}/model")
    assert opened == first
    assert open_artifact(f"{gs_uri}/model")[0] == folder
    second = upload(2)
    other_folder, reopened = open_artifact(f"{gs_uri}/model")
    assert reopened.model_digest == second.model_digest != first.model_digest
    assert other_folder != folder


def test_an_artifact_fetched_while_it_was_being_uploaded_fails_that_time_only(tmp_path, gs_uri):
    artifact = make_artifact(tmp_path)
    storage.write_bytes(f"{gs_uri}/artifact.json", (tmp_path / "artifact.json").read_bytes())
    with pytest.raises(ArtifactError, match=r"model\.keras is missing"):
        open_artifact(gs_uri)
    storage.write_bytes(f"{gs_uri}/model.keras", (tmp_path / "model.keras").read_bytes())
    assert open_artifact(gs_uri)[1] == artifact


@pytest.mark.gpu
def test_a_gpu_gives_the_scores_of_the_processor(vgg16):
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        pytest.skip("there is no GPU here")
    on_gpu = Classifier(*vgg16, "float32").score(_PIXELS)
    rounded = Classifier(*vgg16, "float16").score(_PIXELS)
    with tf.device("/CPU:0"):
        on_cpu = Classifier(*vgg16, "float32").score(_PIXELS)
    np.testing.assert_allclose(on_gpu, on_cpu, atol=1e-3)  # TF32 multiplies with 10 bits
    np.testing.assert_allclose(rounded, on_cpu, atol=0.02)
