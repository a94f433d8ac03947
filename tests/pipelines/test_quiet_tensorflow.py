"""What TensorFlow writes while it starts, and what of it reaches the console."""

import os
import subprocess
import sys

import pytest

from pipelines import quiet_tensorflow
from pipelines.quiet_tensorflow import quiet_stderr

GREETINGS = b"""\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795913793.594852    8226 cudart_stub.cc:31] Could not find cuda drivers
2026-11-22 01:02:03.456789: I tensorflow/core/util/port.cc:153] oneDNN custom operations are on.
To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow
E0000 00:00:1795913793.594852    8226 cuda_dnn.cc:8579] Unable to register cuDNN factory
"""
NO_GPU = b"E0000 00:00:1795913807.192372    8226 cuda_platform.cc:52] failed call to cuInit\n"
NEWS = b"F0000 00:00:1795913807.192372    8226 x.cc:1] Check failed\nmalloc(): corrupted\n"


@pytest.mark.parametrize(
    ("gpu", "set_before", "level"),
    [(True, None, "2"), (False, None, "3"), (False, "0", "0"), (True, "1", "1")],
)
def test_tensorflow_writes_errors_if_there_is_a_gpu_unless_the_user_says_otherwise(
    monkeypatch, gpu, set_before, level
):
    monkeypatch.setattr(quiet_tensorflow, "has_gpu_device", lambda: gpu)
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    if set_before:
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", set_before)
    quiet_tensorflow.quiet_tensorflow()
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == level


@pytest.mark.parametrize("gpu", [True, False])
def test_greetings_are_dropped_and_everything_else_is_printed(monkeypatch, capfd, gpu):
    monkeypatch.setattr(quiet_tensorflow, "has_gpu_device", lambda: gpu)
    with quiet_stderr():
        os.write(2, GREETINGS + NO_GPU + NEWS)
    assert capfd.readouterr().err.encode() == (NO_GPU if gpu else b"") + NEWS


def test_everything_is_printed_if_the_start_fails(capfd):
    def start():
        with quiet_stderr():
            os.write(2, GREETINGS)
            raise ImportError("no libcudart")

    with pytest.raises(ImportError, match="no libcudart"):
        start()
    assert capfd.readouterr().err.encode() == GREETINGS


@pytest.mark.parametrize("first", ["keras", "tensorflow"])
def test_keras_uses_tensorflow_and_its_own_defaults_whatever_the_users_settings_are(
    tmp_path, first
):
    (tmp_path / "keras.json").write_text(
        '{"backend": "torch", "floatx": "float16", "image_data_format": "channels_first",'
        ' "epsilon": 1, "nnx_enabled": true}'
    )
    code = (
        "from pipelines.quiet_tensorflow import quiet_tensorflow; quiet_tensorflow()\n"
        f"import {first}, keras, os; print(keras.backend.backend(), keras.config.floatx(),"
        " keras.config.image_data_format(), keras.layers.Dense(1).dtype_policy.name,"
        " keras.config.epsilon(), keras.config.max_epochs(), os.environ['KERAS_HOME'])"
    )
    settings = {"KERAS_BACKEND": "jax", "KERAS_HOME": str(tmp_path), "TF_USE_LEGACY_KERAS": "1"}
    settings |= {
        "KERAS_MAX_EPOCHS": "1",
        "KERAS_MAX_STEPS_PER_EPOCH": "1",
        "KERAS_NNX_ENABLED": "1",
    }
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | settings)
    assert (done.stdout, done.returncode) == (
        f"tensorflow float32 channels_last float32 1e-07 None {tmp_path}\n",
        0,
    )


def test_keras_and_tensorflow_start_without_output_and_without_extras():
    code = (
        "from pipelines.quiet_tensorflow import quiet_tensorflow; quiet_tensorflow()\n"
        "import keras, tensorflow as tf, sys\n"
        "assert not {'sklearn', 'matplotlib'} & {*sys.modules}; import sklearn, matplotlib.pyplot\n"
        "assert tf.constant([1.0]).numpy() == [1]; print('done', file=sys.stderr)"
    )
    env = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert (done.returncode, done.stderr) == (0, "done\n")
