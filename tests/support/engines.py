"""The ways of running the scoring job on this machine, each started as users start it.

Launcher, engine and workers are separate processes. A mark in their environment lets a test find
those that were left running.
"""

from __future__ import annotations

import json
import os
import pty
import re
import socket
import subprocess
import tempfile
import termios
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from beam_jobs import score_chips
from pipelines.runs import run_plan
from tests.support.forked import ROOT, fork

BUILT = Path(os.environ.get("FOREST_CHIPS_ENGINES", ROOT / "build" / "engines"))
PRISM = ("--runner=PrismRunner", f"--prism_location={BUILT / 'prism'}")
WORKER = ROOT / "deploy" / "prism" / "worker"
"""Starts Beam's boot program in an environment like a container image's."""

_MARK = "FOREST_CHIPS_TEST_MARK"
_PATIENCE_SECONDS = 300.0


class Ended(NamedTuple):
    """A command that has ended.

    Attributes:
        code: its exit code; None if it had to be killed.
        out: its standard output.
        terminal: its standard error, which was a terminal's.
    """

    code: int | None
    out: str
    terminal: str


class Launch:
    """The scoring command, running; `mark` is in the environment of every process it starts."""

    def __init__(self, flags: Sequence[str], unit_chips: int, mark: str = "") -> None:
        self.mark = mark or uuid.uuid4().hex
        master, self._slave = pty.openpty()
        termios.tcsetwinsize(self._slave, (24, 120))
        self._log = Path(tempfile.mkstemp(prefix="launch-", suffix=".log")[1])
        self._command = fork(
            score_chips.main,
            flags,
            self._log,
            err=Path(os.ttyname(self._slave)),
            prepare=partial(make_units_of, unit_chips),
            environment=marked_environment(self.mark),
        )
        self._terminal: list[bytes] = []
        self._reader = threading.Thread(target=self._read_terminal, args=(master,), daemon=True)
        self._reader.start()

    def _read_terminal(self, master: int) -> None:
        try:
            while data := os.read(master, 1 << 16):
                self._terminal.append(data)
        except OSError:  # the last process with this terminal has ended
            pass
        finally:
            os.close(master)

    def is_running(self) -> bool:
        """Whether the launcher has not ended."""
        return bool(self._command.process.is_alive())

    def finish(self) -> Ended:
        """Wait for its end."""
        try:
            code, out = self._command.finish(_PATIENCE_SECONDS)
        finally:
            self._command.process.kill()
            self._log.unlink()
            os.close(self._slave)
        self._reader.join(5)
        return Ended(code, out, b"".join(self._terminal).decode())


def make_units_of(chips: int) -> None:
    """Plan units of that many chips in this process, so that a small archive has many."""
    run_plan.UNIT_CHIPS = chips


def missing_programs() -> str:
    """Names of the programs of `make engines` that are missing; "" if none is."""
    needed = ("prism", "boot", "worker-env/bin/python")
    return ", ".join(name for name in needed if not (BUILT / name).exists())


def process_flags() -> list[str]:
    """Prism starts Beam's boot program, as a container's entry point would be."""
    config = json.dumps({"command": str(WORKER)})
    return [*PRISM, "--environment_type=PROCESS", f"--environment_config={config}"]


@contextmanager
def worker_pool(mark: str) -> Iterator[list[str]]:
    """A worker pool, as next to a Flink TaskManager; it starts workers by Beam's boot program."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    python = BUILT / "worker-env" / "bin" / "python"
    module = ("-m", "apache_beam.runners.worker.worker_pool_main")
    pool = subprocess.Popen(
        [python, *module, f"--service_port={port}", f"--container_executable={WORKER}"],
        cwd="/",
        env=marked_environment(mark),
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: _listens(port))
        yield [*PRISM, "--environment_type=EXTERNAL", f"--environment_config=localhost:{port}"]
    finally:
        pool.terminate()
        pool.wait(30)


def marked_environment(mark: str) -> dict[str, str]:
    """This process's environment, with a mark."""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3"}
    return {**os.environ, **quiet, "FOREST_CHIPS_ENGINES": str(BUILT), _MARK: mark}


def running(mark: str, command: str = "") -> list[int]:
    """Processes with a mark whose command line has some text."""
    pattern, found = f"{_MARK}={mark}".encode(), []
    for folder in Path("/proc").iterdir():
        try:
            if not folder.name.isdigit() or pattern not in (folder / "environ").read_bytes():
                continue
            arguments = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # it has ended meanwhile
            continue
        if arguments and re.search(command, arguments):
            found.append(int(folder.name))
    return sorted(found)


def wait_until(holds: Callable[[], object], seconds: float = 120) -> None:
    """Wait for something to become true.

    Raises:
        TimeoutError: it does not.
    """
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds:.0f} s")
        time.sleep(0.02)


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("localhost", port)) == 0
