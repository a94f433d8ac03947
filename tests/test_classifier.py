"""The model on a worker."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pipelines import storage, tuning
from pipelines.classifier import (
    Classifier,
    check_precision,
    open_artifact,
    resolve_precision,
)
from pipelines.devices import DeviceOutOfMemory, Gpu
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


_AMPERE, _TURING, _PASCAL = (
    Gpu("GPU:0", name, capability)
    for name, capability in [("A100", (8, 0)), ("T4", (7, 5)), ("P4", (6, 1))]
)


@pytest.mark.parametrize(
    ("gpu", "native", "resolved"),
    [
        (None, True, "bfloat16"),
        (None, False, "float32"),
        (_AMPERE, False, "bfloat16"),
        (_TURING, True, "float16"),
        (_PASCAL, True, "float32"),
    ],
)
def test_auto_means_what_the_device_that_computes_is_fast_in(monkeypatch, gpu, native, resolved):
    monkeypatch.setattr("pipelines.classifier.native_bfloat16", lambda: native)
    assert resolve_precision("auto", gpu) == resolved
    assert resolve_precision("float32", gpu) == "float32"


def test_float16_without_a_gpu_is_refused_with_what_to_use_instead():
    with pytest.raises(UsageError, match=r"float16 needs a GPU.*float32 or bfloat16"):
        resolve_precision("float16", None)
    with pytest.raises(UsageError, match="float16 needs a GPU"):
        check_precision("float16", has_gpu=False)
    assert resolve_precision("float16", _AMPERE) == "float16"
    check_precision("float16", has_gpu=True)


def test_bfloat16_on_a_gpu_that_has_none_is_refused_with_what_to_use_instead():
    with pytest.raises(UsageError, match=r"8\.0 or more, which T4 is not; use auto, float32 or fl"):
        resolve_precision("bfloat16", _TURING)
    assert resolve_precision("bfloat16", _AMPERE) == "bfloat16"


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


# --- The way of a GPU, on the processor ---------------------------------------------------------


class ProcessorAsGpu(Gpu):
    """A GPU of which only the name is untrue."""

    memory = 10**12

    def memory_bytes(self):
        return self.memory

    def forget_peak(self):
        pass

    def peak_bytes(self):
        return 10**6


@pytest.fixture
def as_gpu(monkeypatch):
    gpu = ProcessorAsGpu("CPU:0", "no GPU", None)
    monkeypatch.setattr("pipelines.classifier.find_gpu", lambda: gpu)
    monkeypatch.setattr("pipelines.tuning._TRIAL_SECONDS", 0.05)
    return gpu


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    return folder, make_artifact(folder)


def _rates(monkeypatch, rates):
    """Have timing find these rates, by batch size; of XLA's function the second, where two."""
    timed = []

    def measure_rate(call, pixels, calls_at_a_time):
        assert np.isfinite(call(pixels)).all()
        timed.append(len(pixels))
        found = rates[len(pixels)]
        return found.pop(0) if isinstance(found, list) else found

    monkeypatch.setattr("pipelines.tuning.measure_rate", measure_rate)
    return timed


def test_on_a_processor_nothing_is_tuned_and_calls_follow_each_other(small):
    classifier = Classifier(*small, "float32", chips=10**9)
    assert (classifier.batch_size, classifier.calls_in_flight, classifier.xla) == (256, 1, False)
    assert Classifier(*small, "float32", batch_size=7).batch_size == 7


def test_a_gpu_is_tuned_to_the_batch_size_that_gains_and_to_xla_where_it_wins(
    small, as_gpu, monkeypatch
):
    timed = _rates(monkeypatch, {256: 100, 512: [120, 120, 150], 1024: 121})
    classifier = Classifier(*small, "float32", chips=10**9)
    assert (classifier.batch_size, classifier.calls_in_flight, classifier.xla) == (512, 3, True)
    assert timed == [256, 512, 1024, 512, 512]


def test_xla_is_left_out_where_it_does_not_win(small, as_gpu, monkeypatch):
    _rates(monkeypatch, {256: [100, 100, 102], 512: 101})
    classifier = Classifier(*small, "float32", chips=10**9)
    assert (classifier.batch_size, classifier.xla) == (256, False)


def test_a_batch_size_that_is_given_stays(small, as_gpu, monkeypatch):
    timed = _rates(monkeypatch, {24: [100, 200]})
    classifier = Classifier(*small, "float32", batch_size=24, chips=10**9)
    assert (classifier.batch_size, classifier.xla) == (24, True)
    assert timed == [24, 24]


def test_in_a_small_run_nothing_is_tuned(small, as_gpu, monkeypatch):
    timed = _rates(monkeypatch, {})
    classifier = Classifier(*small, "float32", chips=tuning.TUNED_FROM_CHIPS - 1)
    assert (classifier.batch_size, classifier.calls_in_flight, classifier.xla) == (256, 3, False)
    assert timed == []


@pytest.mark.parametrize("xla", [True, False])
def test_whole_part_and_single_batches_have_the_same_scores_with_xla_and_without(
    small, as_gpu, monkeypatch, xla
):
    expected = Classifier(*small, "float32").score(_PIXELS)
    _rates(monkeypatch, {16: [100, 200 if xla else 1]})
    classifier = Classifier(*small, "float32", batch_size=16, chips=10**9)
    assert classifier.xla == xla
    for count in (40, 16, 13, 8, 1):
        # A mean over 4,096 pixels, which XLA adds up in another order.
        np.testing.assert_allclose(classifier.score(_PIXELS[:count]), expected[:count], atol=2e-5)


def test_a_model_that_xla_cannot_compile_is_scored_without(small, as_gpu, monkeypatch, caplog):
    import tensorflow as tf

    def fail(call, pixels, calls_at_a_time):
        if len(timed) == 1:
            raise tf.errors.InvalidArgumentError(None, None, "not compilable\nat length")
        timed.append(1)
        return 100.0

    timed = []
    monkeypatch.setattr("pipelines.tuning.measure_rate", fail)
    classifier = Classifier(*small, "float32", batch_size=16, chips=10**9)
    assert not classifier.xla
    assert "XLA is left out: not compilable" in caplog.text
    assert classifier.score(_PIXELS).shape == (40, 17)


def test_threads_that_call_together_get_the_scores_of_their_own_chips(small, as_gpu):
    classifier = Classifier(*small, "float32")
    expected = classifier.score(_PIXELS)
    with ThreadPoolExecutor(8) as pool:
        parts = pool.map(lambda i: classifier.score(_PIXELS[i : i + 1 + i % 5]), range(40))
    for i, scores in enumerate(parts):
        np.testing.assert_allclose(scores, expected[i : i + 1 + i % 5], atol=1e-6)


def test_a_batch_that_did_not_fit_is_refused_the_next_time_without_a_try(small, monkeypatch):
    import tensorflow as tf

    tried = []

    def call(pixels):
        tried.append(len(pixels))
        if len(pixels) > 8:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return tf.zeros((len(pixels), 17))

    monkeypatch.setattr("pipelines.classifier._compile", lambda *asked: call)
    classifier = Classifier(*small, "float32")
    for count in (40, 40, 20, 40, 10):
        with pytest.raises(DeviceOutOfMemory, match=f"no memory for {count} chips"):
            classifier.score(_PIXELS[:count])
    assert classifier.score(_PIXELS[:5]).shape == (5, 17)
    assert tried == [40, 20, 10, 5]


# --- On a GPU -----------------------------------------------------------------------------------


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
