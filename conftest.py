"""Fixtures for all tests: object-store servers, fresh connections, a small artifact, real chips."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever the developer's settings are
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before anything loads TensorFlow

from pipelines.storage import store
from pipelines.tables import live_files
from train.data import pixel_cache

# No time limit for single examples: on a busy machine they would fail.
hypothesis.settings.register_profile("project", deadline=None)
hypothesis.settings.load_profile("project")

pytest_plugins = ["tests.support.object_stores"]


@pytest.fixture(autouse=True)
def _fresh_connections() -> Iterator[None]:
    """Close connections after each test, because tests change the environment they depend on."""
    yield
    store.forget_stores()
    live_files.leave_out_none()


@pytest.fixture(scope="session", autouse=True)
def _own_pixel_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the tests out of the user's own cache of decoded chips."""
    folder = tmp_path_factory.mktemp("pixels")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pixel_cache, "cache_folder", lambda: folder)
        yield


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model of the 17 labels on jpg chips. Many tests share it, so none may change it."""
    from tests.support.samples import make_artifact

    folder = tmp_path_factory.mktemp("artifact")
    make_artifact(folder)
    return folder


@pytest.fixture(scope="module")
def quick_score() -> Iterator[Callable[..., int]]:
    """The scoring command in this process with a model that takes no time to load; called with
    flags, it returns the exit code."""
    from tests.support.quick_scoring import scoring_here

    with scoring_here() as command:
        yield command


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The development chips, in shared/ next to the checkout; without them the test is skipped."""
    folder = Path(__file__).parent.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the development chips are not there: {folder}")
    return folder
