"""The processes that the in-process engine starts with `--direct_running_mode=multi_processing`."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

_WORKER = b"apache_beam.runners.worker.sdk_worker_main"


def end_worker_processes() -> None:
    """Kill the workers that this process has started, and the shells that Beam starts them with.

    A worker that is just starting waits a minute for a launcher that has ended, and keeps standard
    output open that long. If the kernel does not list children (other than Linux), workers end by
    themselves once they notice.
    """
    for process in _descendants(os.getpid()):
        with suppress(OSError):  # it has ended meanwhile
            if _WORKER in Path(f"/proc/{process}/cmdline").read_bytes():
                os.kill(process, signal.SIGKILL)


def _descendants(process: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{process}/task").glob("*"):
        with suppress(OSError):  # it has ended meanwhile
            for child in map(int, (task / "children").read_text().split()):
                found += [child, *_descendants(child)]
    return found
