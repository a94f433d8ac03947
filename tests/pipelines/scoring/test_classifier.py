"""The model on a worker."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pytest

from pipelines.artifacts.opening import open_artifact
from pipelines.errors import UsageError
from pipelines.scoring import tuning
from pipelines.scoring.classifier import Classifier, check_model
from pipelines.scoring.devices import DeviceOutOfMemory, Gpu, driver_free_bytes, find_gpu
from pipelines.scoring.scoring import SharedModel
from pipelines.scoring.tensorflow_model import _compute_in, check_precision, resolve_precision
from pipelines.storage import store
from schemas.artifact import ArtifactError, Preprocessing
from schemas.precision import gpu_precision
from tests.support.samples import make_artifact

_ROOT = Path(__file__).parents[3]
JPG_32 = Preprocessing("jpg", 32, ("red", "green", "blue"), None, (64, 1024))
_SMALL = np.random.default_rng(1).integers(0, 256, (40, 32, 32, 3), np.uint8)
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


def test_a_chip_has_the_same_scores_whatever_other_chips_are_in_its_batch(vgg16):
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


def test_the_first_convolution_and_the_last_layer_compute_in_float32(vgg16):
    folder, _ = vgg16
    model = keras.models.load_model(folder / "model.keras")
    _compute_in(model, "bfloat16")
    computed = {layer.name: layer.compute_dtype for layer in model.layers}
    exact = {name for name, dtype in computed.items() if dtype == "float32"}
    assert exact == {"pixels", "input_normalisation", "block1_conv1", "scores"}
    assert computed["block1_conv2"] == computed["block5_conv3"] == "bfloat16"


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
def test_auto_is_the_precision_that_the_device_is_fastest_in(monkeypatch, gpu, native, resolved):
    monkeypatch.setattr("pipelines.scoring.tensorflow_model.native_bfloat16", lambda: native)
    assert resolve_precision("auto", gpu) == resolved
    assert resolve_precision("float32", gpu) == "float32"


def test_float16_without_a_gpu_is_refused_with_what_to_use_instead():
    with pytest.raises(UsageError, match=r"float16 needs a GPU.*float32 or bfloat16"):
        resolve_precision("float16", None)
    with pytest.raises(UsageError, match="float16 needs a GPU"):
        check_precision("float16", has_gpu=False)
    assert resolve_precision("float16", _AMPERE) == "float16"
    check_precision("float16", has_gpu=True)


def test_bfloat16_on_a_gpu_without_it_is_refused_with_what_to_use_instead():
    with pytest.raises(UsageError, match=r"8\.0 or more, which T4 is not; use auto, float32 or fl"):
        resolve_precision("bfloat16", _TURING)
    assert resolve_precision("bfloat16", _AMPERE) == "bfloat16"


def test_code_in_a_model_file_is_not_run_even_if_the_artifact_is_not_opened_first(tmp_path):
    artifact = make_artifact(tmp_path)
    mark = str(tmp_path / "ran")
    inputs = keras.Input(artifact.preprocessing.input_shape)
    code = keras.layers.Lambda(lambda x: (open(mark, "w"), x)[1])  # noqa: SIM115
    outputs = keras.layers.Dense(17)(keras.layers.Flatten()(code(inputs)))
    Path(mark).unlink()  # of Keras building the model
    keras.Model(inputs, outputs).save(tmp_path / "model.keras")
    with pytest.raises(ArtifactError, match=r"keras\.layers\.Lambda"):
        Classifier(tmp_path, artifact, "float32")
    assert not Path(mark).exists()


def test_keras_opens_a_model_only_if_its_digest_is_right(tmp_path, monkeypatch):
    def load_model(*_, **__):
        raise AssertionError("Keras was asked to load it")

    artifact = make_artifact(tmp_path)
    monkeypatch.setattr(keras.models, "load_model", load_model)
    graph = SharedModel(str(tmp_path), artifact.model_digest, "float32", None, 1)
    with pytest.raises(ArtifactError, match="was asked"):
        graph._load()
    with (tmp_path / "model.keras").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"x")
    with pytest.raises(ArtifactError, match="sha256"):
        graph._load()


def test_a_model_that_was_checked_is_not_opened_again_by_the_first_that_scores_with_it(
    tmp_path, monkeypatch
):
    artifact, opened, load = make_artifact(tmp_path), [], keras.models.load_model
    monkeypatch.setattr(
        keras.models, "load_model", lambda *args, **more: opened.append(1) or load(*args, **more)
    )
    check_model(tmp_path, artifact, "tensorflow", "float32")
    first = Classifier(tmp_path, artifact, "float32")
    assert len(opened) == 1
    second = Classifier(tmp_path, artifact, "float32")
    assert len(opened) == 2
    np.testing.assert_array_equal(first.score(_PIXELS), second.score(_PIXELS))


def test_an_artifact_with_another_digest_than_planned_is_refused_with_both(tmp_path):
    artifact = make_artifact(tmp_path)
    with pytest.raises(ArtifactError, match=f"was 0000, is {artifact.model_digest}"):
        open_artifact(str(tmp_path), expected_digest="0000")


def test_a_remote_artifact_is_fetched_once_and_again_when_it_changes(tmp_path, gs_uri):
    def upload(seed):
        artifact = make_artifact(tmp_path / str(seed), seed=seed)
        for path in (tmp_path / str(seed)).iterdir():
            store.write_bytes(f"{gs_uri}/model/{path.name}", path.read_bytes())
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
    store.write_bytes(f"{gs_uri}/artifact.json", (tmp_path / "artifact.json").read_bytes())
    with pytest.raises(ArtifactError, match=r"model\.keras is missing"):
        open_artifact(gs_uri)
    store.write_bytes(f"{gs_uri}/model.keras", (tmp_path / "model.keras").read_bytes())
    assert open_artifact(gs_uri)[1] == artifact


# --- The way of a GPU, on the processor ---------------------------------------------------------


class ProcessorAsGpu(Gpu):
    """The CPU under the name of a GPU."""

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
    monkeypatch.setattr("pipelines.scoring.tensorflow_model.find_gpu", lambda: gpu)
    monkeypatch.setattr("pipelines.scoring.tuning.BATCH_SIZE", 4)  # 256 takes long on a processor
    return gpu


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    return folder, make_artifact(folder, JPG_32, network="cnn")


def _rates(monkeypatch, rates):
    """Make timing return these rates, by batch size; if there are two, the second is XLA's."""
    timed = []

    def measure_rate(call, pixels, calls_at_a_time):
        assert call(pixels).shape == (len(pixels), 17)
        timed.append(len(pixels))
        found = rates[len(pixels)]
        return found.pop(0) if isinstance(found, list) else found

    monkeypatch.setattr("pipelines.scoring.tuning.measure_rate", measure_rate)
    return timed


def test_on_a_cpu_nothing_is_tuned_and_calls_do_not_overlap(small):
    classifier = Classifier(*small, "float32", chips=10**9)
    assert (classifier.batch_size, classifier.calls_in_flight, classifier.xla) == (256, 1, False)
    assert Classifier(*small, "float32", batch_size=7).batch_size == 7


def test_on_a_gpu_the_fastest_batch_size_is_used_and_xla_if_it_is_faster(
    small, as_gpu, monkeypatch
):
    timed = _rates(monkeypatch, {4: 100, 8: [120, 120, 150], 16: 121})
    classifier = Classifier(*small, "float32", chips=10**9)
    assert (classifier.batch_size, classifier.calls_in_flight, classifier.xla) == (8, 3, True)
    assert timed == [4, 8, 16, 8, 8]


def test_xla_is_not_used_if_it_is_not_faster(small, as_gpu, monkeypatch):
    _rates(monkeypatch, {4: [100, 100, 102], 8: 101})
    classifier = Classifier(*small, "float32", chips=10**9)
    assert (classifier.batch_size, classifier.xla) == (4, False)


def test_a_given_batch_size_is_kept(small, as_gpu, monkeypatch):
    timed = _rates(monkeypatch, {24: [100, 200]})
    classifier = Classifier(*small, "float32", batch_size=24, chips=10**9)
    assert (classifier.batch_size, classifier.xla) == (24, True)
    assert timed == [24, 24]


def test_a_model_without_convolutions_is_not_tuned(tmp_path, as_gpu, monkeypatch):
    artifact = make_artifact(tmp_path)
    timed = _rates(monkeypatch, {})
    classifier = Classifier(tmp_path, artifact, "float32", chips=10**9)
    assert (classifier.batch_size, classifier.calls_in_flight, classifier.xla) == (4, 3, False)
    assert timed == []


def test_in_a_small_run_nothing_is_tuned(small, as_gpu, monkeypatch):
    timed = _rates(monkeypatch, {})
    classifier = Classifier(*small, "float32", chips=tuning.TUNED_FROM_CHIPS - 1)
    assert (classifier.batch_size, classifier.calls_in_flight, classifier.xla) == (4, 3, False)
    assert timed == []


@pytest.mark.parametrize("xla", [True, False])
def test_full_partial_and_single_batches_have_the_same_scores_with_and_without_xla(
    small, as_gpu, monkeypatch, xla
):
    expected = Classifier(*small, "float32").score(_SMALL)
    _rates(monkeypatch, {16: [100, 200 if xla else 1]})
    classifier = Classifier(*small, "float32", batch_size=16, chips=10**9)
    assert classifier.xla == xla
    for count in (40, 16, 13, 8, 1):
        np.testing.assert_allclose(classifier.score(_SMALL[:count]), expected[:count], atol=1e-6)


def test_a_model_that_xla_cannot_compile_is_scored_without(small, as_gpu, monkeypatch, caplog):
    import tensorflow as tf

    def fail(call, pixels, calls_at_a_time):
        if len(timed) == 1:
            raise tf.errors.InvalidArgumentError(None, None, "not compilable\nat length")
        timed.append(1)
        return 100.0

    timed = []
    monkeypatch.setattr("pipelines.scoring.tuning.measure_rate", fail)
    classifier = Classifier(*small, "float32", batch_size=16, chips=10**9)
    assert not classifier.xla
    assert "XLA is not used: not compilable" in caplog.text
    assert classifier.score(_SMALL).shape == (40, 17)


def test_threads_that_call_together_get_the_scores_of_their_own_chips(small, as_gpu):
    classifier = Classifier(*small, "float32")
    expected = classifier.score(_SMALL)
    with ThreadPoolExecutor(8) as pool:
        parts = pool.map(lambda i: classifier.score(_SMALL[i : i + 1 + i % 5]), range(40))
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

    monkeypatch.setattr("pipelines.scoring.tensorflow_model._compile", lambda *asked: call)
    classifier = Classifier(*small, "float32")
    for count in (40, 40, 20, 40, 10):
        with pytest.raises(DeviceOutOfMemory, match=f"no memory for {count} chips"):
            classifier.score(_SMALL[:count])
    assert classifier.score(_SMALL[:5]).shape == (5, 17)
    assert tried == [40, 20, 10, 5]


# --- On a GPU -----------------------------------------------------------------------------------


@pytest.fixture
def gpu():
    found = find_gpu()
    if found is None:
        pytest.skip("there is no GPU here")
    return found


def _on_processor(artifact, monkeypatch):
    """float32 scores of the CPU, to compare with the GPU's."""
    import tensorflow as tf

    with monkeypatch.context() as patched, tf.device("CPU:0"):
        patched.setattr("pipelines.scoring.tensorflow_model.find_gpu", lambda: None)
        return Classifier(*artifact, "float32").score(_PIXELS)


@pytest.mark.gpu
def test_a_gpu_computes_the_same_scores_as_the_cpu(vgg16, gpu, monkeypatch):
    scores = Classifier(*vgg16, "float32").score(_PIXELS)
    # TF32 multiplies with 10 bits.
    np.testing.assert_allclose(scores, _on_processor(vgg16, monkeypatch), atol=1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_on_a_gpu_changes_scores_little(vgg16, gpu, monkeypatch, precision):
    if precision == "bfloat16" and gpu_precision(gpu.compute_capability) != "bfloat16":
        pytest.skip(f"{gpu.name} has no bfloat16")
    scores = Classifier(*vgg16, precision).score(_PIXELS)
    tolerance = {"bfloat16": 0.05, "float16": 0.02}[precision]
    np.testing.assert_allclose(scores, _on_processor(vgg16, monkeypatch), atol=tolerance)


@pytest.mark.gpu
def test_a_model_tuned_to_a_gpu_computes_the_same_scores_as_an_untuned_one(vgg16, gpu, monkeypatch):
    """The real search, the real compiler; XLA's function is used whether it is faster or not."""
    monkeypatch.setattr("pipelines.scoring.tuning.is_faster", lambda rate, than: True)
    tuned = Classifier(*vgg16, "float32", chips=10**9)
    assert tuned.xla
    assert tuned.batch_size > tuning.BATCH_SIZE
    given = Classifier(*vgg16, "float32", batch_size=len(_PIXELS) + 4, chips=10**9)
    expected = Classifier(*vgg16, "float32").score(_PIXELS)
    np.testing.assert_allclose(tuned.score(_PIXELS), expected, atol=1e-3)
    np.testing.assert_allclose(given.score(_PIXELS), expected, atol=1e-3)


@pytest.mark.gpu
def test_overlapping_calls_on_a_gpu_compute_the_same_scores(vgg16, gpu):
    classifier = Classifier(*vgg16, "float32")
    batches = [np.roll(_PIXELS, shift, axis=0) for shift in range(24)]
    in_turn = [classifier.score(batch) for batch in batches]
    with ThreadPoolExecutor(tuning.CALLS_IN_FLIGHT) as pool:
        overlapping = list(pool.map(classifier.score, batches))
    np.testing.assert_allclose(overlapping, in_turn, atol=1e-4)


@pytest.mark.gpu
def test_the_driver_reports_more_memory_than_the_model_takes(vgg16, gpu):
    Classifier(*vgg16, "float32").score(_PIXELS)
    free = driver_free_bytes()
    assert free is not None
    assert free > 0
    assert gpu.peak_bytes() > 4 * 14_749_533


@pytest.mark.gpu
def test_a_batch_too_large_for_a_gpus_memory_is_halved_and_each_chip_keeps_its_scores(vgg16, gpu):
    """In a process of its own, whose memory on the device is limited before it is used."""
    code = f"""
import numpy as np, tensorflow as tf
device = tf.config.list_physical_devices("GPU")[0]
limit = tf.config.LogicalDeviceConfiguration(memory_limit=1024)
tf.config.set_logical_device_configuration(device, [limit])
from pathlib import Path
from pipelines.scoring.classifier import Classifier, check_model
from pipelines.scoring.devices import find_gpu
from pipelines.scoring.scoring import score_in_halves
from pipelines.scoring.scoring import SharedModel
from schemas.artifact_files import read_artifact
assert find_gpu().memory_bytes() == 1024 * 2**20
folder = Path({str(vgg16[0])!r})
classifier = Classifier(folder, read_artifact(folder), "float32")
pixels = np.random.default_rng(0).integers(0, 256, (4096, 64, 64, 3), np.uint8)
expected = np.concatenate([classifier.score(pixels[i : i + 64]) for i in range(0, 4096, 64)])
tried = []
score = classifier._call
classifier._call = lambda chips: (tried.append(len(chips)), score(chips))[1]
scores, fits = score_in_halves(pixels, classifier)
assert fits.all()
assert tried[0] == 4096 and min(tried) < 4096, tried
np.testing.assert_allclose(scores, expected, atol=1e-3)
tried.clear()
score_in_halves(pixels, classifier)
assert 4096 not in tried, tried
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=_ROOT, timeout=300)
