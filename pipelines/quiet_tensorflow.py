"""TensorFlow without its start-up lines; Keras on TensorFlow, whatever the user's settings are, and
without libraries that no one uses.

TensorFlow's C++ libraries write some 14 lines to file descriptor 2 while they are loaded and look
for a GPU, before any setting applies: greetings, and on a machine without a GPU an "error" that
says so. Keras imports scikit-learn and matplotlib if they are installed, for wrappers and plots
that the project does not use: 1 to 2 s of processor time in each process.
"""

from __future__ import annotations

import faulthandler
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from glob import glob
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

_EXTRAS = ("sklearn", "matplotlib")
_GREETING = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog"
    rb"|To enable the following instructions:"
    rb"|(\d{4}-\d\d-\d\d [\d:.]+: )?[IW]\d{0,4} "
    rb"|.*(Unable to register|computation placer already registered)"
)
_ERROR = re.compile(rb"(\d{4}-\d\d-\d\d [\d:.]+: )?E\d{0,4} ")


def quiet_tensorflow() -> None:
    """Make TensorFlow start without printing, and Keras use it, here and in child processes; call
    it before either is imported.

    After that its C++ part writes errors only (on a machine without a GPU not even these: what
    fails on a processor is raised in Python), unless TF_CPP_MIN_LOG_LEVEL is set. If the import
    fails, everything that was written is printed.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if has_gpu_device() else "3")
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    for name, around in {"tensorflow": _quiet_start, "keras": _default_keras}.items():
        if name not in sys.modules:
            sys.meta_path.insert(0, _Finder(name, around))


def has_gpu_device() -> bool:
    """Whether a driver has made a device for a GPU on this machine; asked without TensorFlow."""
    return bool(glob("/dev/nvidia[0-9]*"))


class _Finder(MetaPathFinder):
    """Finds a package, and imports it within a context. It stays when it was only asked whether the
    package is installed, as TensorFlow asks for Keras."""

    def __init__(self, name: str, around: Callable[[], AbstractContextManager[None]]) -> None:
        self._name, self._around = name, around

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != self._name:
            return None
        sys.meta_path.remove(self)
        try:
            spec = find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        if spec and spec.loader:
            spec.loader = _LoaderWithin(spec.loader, self._around)
        return spec


class _LoaderWithin(Loader):
    def __init__(self, loader: Loader, around: Callable[[], AbstractContextManager[None]]) -> None:
        self._loader, self._around = loader, around

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        with self._around():
            self._loader.exec_module(module)


@contextmanager
def _quiet_start() -> Iterator[None]:
    with _without_settings(), quiet_stderr():
        yield
        sys.modules["tensorflow"].config.list_physical_devices("GPU")


@contextmanager
def _default_keras() -> Iterator[None]:
    with _without_settings(), _without_extras():
        yield


@contextmanager
def _without_settings() -> Iterator[None]:
    """Keras as it is without a settings file (~/.keras/keras.json) and without variables: models
    are built and saved by these settings, and KERAS_MAX_EPOCHS would end a training. TensorFlow
    reads the file, too."""
    user = {name: os.environ.pop(name) for name in [*os.environ] if name.startswith("KERAS_")}
    try:
        with tempfile.TemporaryDirectory() as empty:
            os.environ |= {"KERAS_BACKEND": "tensorflow", "KERAS_HOME": empty}
            yield
    finally:
        del os.environ["KERAS_HOME"]
        os.environ |= user | {"KERAS_BACKEND": "tensorflow"}


@contextmanager
def _without_extras() -> Iterator[None]:
    """Make packages look as if they were not installed; those that are loaded stay."""
    hidden = [name for name in _EXTRAS if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: ImportError
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Keep TensorFlow's greetings off file descriptor 2; everything else is printed at the end of
    the block, and all of it if the block fails. If the process crashes, Python's stack is printed.
    """
    with tempfile.TemporaryFile() as written:
        sys.stderr.flush()
        stderr = os.dup(2)
        os.dup2(written.fileno(), 2)
        watched, started = faulthandler.is_enabled(), False
        if not watched:
            faulthandler.enable(stderr)
        try:
            yield
            started = True
        finally:
            if not watched:
                faulthandler.disable()
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            written.seek(0)
            for line in written:
                if not (started and _is_greeting(line)):
                    os.write(2, line)


def _is_greeting(line: bytes) -> bool:
    return bool(_GREETING.match(line) or (_ERROR.match(line) and not has_gpu_device()))
