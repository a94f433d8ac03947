"""What is kept off a terminal, and what is not."""

import os

import pytest

from beam_jobs.engine import engine_log


@pytest.mark.parametrize(
    ("gpu", "set_before", "level"),
    [(True, None, "2"), (False, None, "3"), (False, "0", "0"), (True, "1", "1")],
)
def test_tensorflow_writes_errors_where_there_is_a_gpu_unless_the_user_says_otherwise(
    monkeypatch, gpu, set_before, level
):
    monkeypatch.setattr(engine_log, "has_gpu_device", lambda: gpu)
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    if set_before:
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", set_before)
    engine_log.calm_tensorflow()
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == level
