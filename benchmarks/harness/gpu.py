"""How long a GPU works while a command runs, as its driver counts.

`utilization.gpu` is the share of the time since the sample before in which a kernel ran (NVIDIA,
nvidia-smi manual). Summed over a run it is the time that the GPU worked; between two archive
sizes, start-up cancels out.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

_QUERY = ["--query-gpu=index,timestamp,utilization.gpu", "--format=csv,noheader,nounits"]
_SAMPLE_MS = 200
_TIME = "%Y/%m/%d %H:%M:%S.%f"


@dataclass
class Watch:
    """What was seen of the GPUs.

    Attributes:
        busy_seconds: time in which kernels ran, of all visible GPUs together; None without one.
    """

    busy_seconds: float | None = None


@contextmanager
def watching() -> Iterator[Watch]:
    """Watch the GPUs that a command may use; the result is set when the block has ended."""
    watch, tool = Watch(), shutil.which("nvidia-smi")
    if tool is None:
        yield watch
        return
    with tempfile.TemporaryFile("w+") as output:  # a pipe would fill up and stop the tool
        command = [tool, *_visible(), *_QUERY, f"--loop-ms={_SAMPLE_MS}"]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL)
        try:
            yield watch
        finally:
            process.terminate()
            process.wait()
            output.seek(0)
            watch.busy_seconds = busy_seconds(output.read())


def busy_seconds(samples: str) -> float | None:
    """Time in which kernels ran, from lines of index, time and percent; None if none can be
    read. Each sample counts for the time since the one before."""
    before: dict[str, datetime] = {}
    busy = 0.0
    for line in samples.splitlines():
        index, at, percent = (*(field.strip() for field in line.split(",")), "", "")[:3]
        if percent.isdigit():
            now = datetime.strptime(at, _TIME)
            busy += int(percent) / 100 * (now - before.get(index, now)).total_seconds()
            before[index] = now
    return busy if before else None


def _visible() -> list[str]:
    """The GPUs that CUDA shows to what we start; all of them by default."""
    devices = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return [f"--id={devices}"] if devices else []
