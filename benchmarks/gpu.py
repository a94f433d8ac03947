"""How busy a GPU is while a command runs, as its driver counts."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_QUERY = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--loop-ms=200"]


@contextmanager
def watching() -> Iterator[list[float]]:
    """Samples of the share of time in which a kernel ran, filled when the block ends; none
    without a GPU."""
    samples: list[float] = []
    tool = shutil.which("nvidia-smi")
    if tool is None:
        yield samples
        return
    process = subprocess.Popen([tool, *_QUERY], stdout=subprocess.PIPE, text=True)
    try:
        yield samples
    finally:
        process.terminate()
        output, _ = process.communicate()
        samples += [float(line) / 100 for line in output.splitlines() if line.strip().isdigit()]


def waiting_share(samples: Sequence[float]) -> float | None:
    """Share of time without a kernel, between the first and the last sample with one."""
    busy = [number for number, sample in enumerate(samples) if sample > 0]
    if not busy:
        return None
    worked = samples[busy[0] : busy[-1] + 1]
    return 1 - sum(worked) / len(worked)
