"""How many processor cores this process may use: what a container's limit leaves of a machine."""

import math
import os
from functools import cache
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")


@cache
def usable_cores() -> int:
    """Cores that this process may be busy on at once, at least 1.

    The fewer of those that it may run on (its affinity) and those that its control group has time
    for (a quota, rounded up), which `os.cpu_count` does not know.
    """
    mask = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(mask, quota_cores())))


def quota_cores(groups: Path = _GROUPS, own: Path = Path("/proc/self/cgroup")) -> float:
    """Cores' worth of time that the control groups around this process allow; infinite without a
    limit.

    Source: Linux, "Control Group v2", `cpu.max`: quota and period in microseconds. A group's limit
    is for all below it.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return math.inf
    paths = [line.removeprefix("0::/") for line in lines if line.startswith("0::/")]
    places = [groups / path for path in paths] or [groups]
    found = [math.inf]
    for folder in (places[0], *places[0].parents):
        found.append(_quota(folder / "cpu.max"))
        if folder == groups:
            break
    return min(found)


def _quota(file: Path) -> float:
    try:
        quota, period = file.read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # "max", or no such group
        return math.inf
