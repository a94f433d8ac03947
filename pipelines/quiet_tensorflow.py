"""TensorFlow without its start-up lines.

Its C++ libraries write some 14 lines to file descriptor 2 while they are loaded and look for a GPU,
before any setting applies: greetings, and on a machine without a GPU an "error" that says so.
"""

from __future__ import annotations

import faulthandler
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from glob import glob
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

_GREETING = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog"
    rb"|To enable the following instructions:"
    rb"|(\d{4}-\d\d-\d\d [\d:.]+: )?[IW]\d{0,4} "
    rb"|.*(Unable to register|computation placer already registered)"
)
_ERROR = re.compile(rb"(\d{4}-\d\d-\d\d [\d:.]+: )?E\d{0,4} ")


def quiet_tensorflow() -> None:
    """Have TensorFlow start without a word, here and in child processes; call it before
    TensorFlow is imported.

    From then on its C++ part writes errors only (on a machine without a GPU not even these: what
    fails on a processor is raised in Python), unless TF_CPP_MIN_LOG_LEVEL is set. If the import
    fails, everything that was written is printed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if has_gpu_device() else "3")
    if "tensorflow" not in sys.modules and not any(isinstance(f, _Finder) for f in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def has_gpu_device() -> bool:
    """Whether a driver has made a device for a GPU on this machine; asked without TensorFlow."""
    return bool(glob("/dev/nvidia[0-9]*"))


class _Finder(MetaPathFinder):
    """Finds `tensorflow` once, and has its import done quietly."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec and spec.loader:
            spec.loader = _QuietLoader(spec.loader)
        return spec


class _QuietLoader(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        with quiet_stderr():
            self._loader.exec_module(module)
            module.config.list_physical_devices("GPU")


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
