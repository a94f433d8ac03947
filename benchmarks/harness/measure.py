"""Commands measured from outside: wall time, CPU time and peak memory of all their processes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.harness import gpu

_SAMPLE_SECONDS = 0.1
_PR_SET_CHILD_SUBREAPER = 36
_LAST_LINES = 15
_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class CommandFailed(Exception):
    """A measured command failed; the message has its last lines."""


@dataclass(frozen=True)
class Run:
    """What one run of a command took.

    Attributes:
        seconds: from start to exit.
        cpu_seconds: user and system time of all its processes, daemons that it leaves included.
        peak_bytes: largest sampled memory of all its processes together; pages that several
            share count once (PSS).
        output: standard output.
        others_share: share of the processors that other programs used meanwhile.
        gpu_busy_seconds: time in which its GPUs worked, None without a GPU.
        peak_anonymous_bytes: largest sampled memory of all its processes without the files that
            they map, swapped or not.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    output: str
    others_share: float = 0.0
    gpu_busy_seconds: float | None = None
    peak_anonymous_bytes: int = 0


@dataclass(frozen=True)
class Slope:
    """Two runs of a command over archives of two sizes, without the start-up.

    Attributes:
        chips_per_s: additional chips per additional second.
        startup_s: seconds that no chip accounts for.
        cpu_ms_per_chip: additional CPU time per additional chip.
        peak_bytes: the larger of the two peaks.
        others_share: the larger of the two shares.
        gpu_waiting_share: share of these seconds in which no kernel ran, None without a GPU.
    """

    chips_per_s: float
    startup_s: float
    cpu_ms_per_chip: float
    peak_bytes: int
    others_share: float
    gpu_waiting_share: float | None = None


def slope_between(small: tuple[int, Run], large: tuple[int, Run]) -> Slope:
    """The slope between runs over `(chips, run)` of two sizes.

    Raises:
        ValueError: the second has not more chips, or took no longer: its size is too small to
            be distinguished from the start-up.
    """
    (few, first), (many, second) = small, large
    if many <= few:
        raise ValueError(f"the second size must be larger: {few}, {many}")
    seconds = second.seconds - first.seconds
    if seconds <= 0:
        raise ValueError(f"{many} chips took no longer than {few}: choose larger sizes")
    rate = (many - few) / seconds
    return Slope(
        chips_per_s=rate,
        startup_s=first.seconds - few / rate,
        cpu_ms_per_chip=1000 * (second.cpu_seconds - first.cpu_seconds) / (many - few),
        peak_bytes=max(first.peak_bytes, second.peak_bytes),
        others_share=max(first.others_share, second.others_share),
        gpu_waiting_share=_waiting_share(first, second),
    )


def _waiting_share(first: Run, second: Run) -> float | None:
    if first.gpu_busy_seconds is None or second.gpu_busy_seconds is None:
        return None
    busy = second.gpu_busy_seconds - first.gpu_busy_seconds
    return min(1.0, max(0.0, 1 - busy / (second.seconds - first.seconds)))


def environment_of_runs(**more: str) -> dict[str, str]:
    """The environment of everything that is measured: Python keeps what it has compiled, as it
    does by default (without, importing TensorFlow takes three times as long)."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {"TF_CPP_MIN_LOG_LEVEL": "2", **kept, **more}


def run_measured(command: Sequence[str], folder: Path, log: Path) -> Run:
    """Run a command to its end, in `folder`, with its standard error in `log`.

    Processes that it leaves behind are measured too, and ended.

    Raises:
        CommandFailed: another exit code than 0.
    """
    with gpu.watching() as watch:
        run = _run_to_its_end(command, folder, log)
    return replace(run, gpu_busy_seconds=watch.busy_seconds)


def _run_to_its_end(command: Sequence[str], folder: Path, log: Path) -> Run:
    _adopt_orphans(True)
    before = set(_descendants(os.getpid()))
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as errors, log.with_suffix(".out").open("w+") as output:
        start, busy = time.perf_counter(), _busy_seconds()
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            env=environment_of_runs(),
        )
        watcher = _Watcher(before)
        code, seconds, cpu_seconds, peak_bytes = _wait(process, start, watcher)
        busy = _busy_seconds() - busy
        cpu_seconds += _end_left_behind(before)
        _adopt_orphans(False)
        output.seek(0)
        text = output.read()
    if code:
        raise CommandFailed(f"{' '.join(command)} ended with {code}:\n{_last_lines(text, log)}")
    cpu_seconds = max(cpu_seconds, watcher.cpu_seconds)
    return Run(
        seconds=seconds,
        cpu_seconds=cpu_seconds,
        peak_bytes=max(peak_bytes, watcher.peak_bytes),
        output=text,
        others_share=max(0.0, busy - cpu_seconds) / seconds / (os.cpu_count() or 1),
        peak_anonymous_bytes=watcher.peak_anonymous_bytes,
    )


def _wait(
    process: subprocess.Popen[bytes], start: float, watcher: _Watcher
) -> tuple[int, float, float, int]:
    """Exit code, seconds, CPU seconds and largest process as the kernel counts them."""
    with watcher:
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    cpu_seconds = usage.ru_utime + usage.ru_stime
    return process.returncode, seconds, cpu_seconds, usage.ru_maxrss * 1024


class _Watcher:
    """A thread that samples the processes that were not there before."""

    def __init__(self, before: set[int]) -> None:
        self._before = before
        self._cpu_by_process: dict[int, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.peak_bytes = self.peak_anonymous_bytes = 0

    @property
    def cpu_seconds(self) -> float:
        """CPU time of every process as last seen, short-lived ones missed."""
        return sum(self._cpu_by_process.values())

    def __enter__(self) -> _Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_SAMPLE_SECONDS):
            self._sample()

    def _sample(self) -> None:
        processes = [p for p in _descendants(os.getpid()) if p not in self._before]
        alone = len(processes) == 1
        held = anonymous = 0
        for process in processes:
            with contextlib.suppress(OSError, IndexError, ValueError):
                anonymous += _anonymous_bytes(process)
                held += _resident_bytes(process) if alone else _proportional_bytes(process)
                self._cpu_by_process[process] = _cpu_seconds(process)
        self.peak_bytes = max(self.peak_bytes, held)
        self.peak_anonymous_bytes = max(self.peak_anonymous_bytes, anonymous)


def _adopt_orphans(adopt: bool) -> None:
    """Adopt daemons whose parents have ended, so that they can be measured and ended."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(adopt), 0, 0, 0)


def _end_left_behind(before: set[int]) -> float:
    """End what a command left; returns the CPU time of all processes that were adopted, and of
    those that they had waited for."""
    cpu_seconds = 0.0
    while left := [process for process in _descendants(os.getpid()) if process not in before]:
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        for process in left:
            with contextlib.suppress(ChildProcessError):
                usage = os.wait4(process, 0)[2]
                cpu_seconds += usage.ru_utime + usage.ru_stime
    return cpu_seconds


def _descendants(ancestor: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                children.setdefault(int(_stat_fields(int(entry))[1]), []).append(int(entry))
    found: list[int] = []
    waiting = [ancestor]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _busy_seconds() -> float:
    """Time that all processors worked, or were taken by other machines on the same host."""
    ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _, _, interrupts, soft_interrupts, steal = ticks[:8]
    return (user + nice + system + interrupts + soft_interrupts + steal) * _TICK_SECONDS


def _stat_fields(process: int) -> list[str]:
    """Fields of /proc/PID/stat after the name, which may hold anything."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()


def _cpu_seconds(process: int) -> float:
    fields = _stat_fields(process)
    return (int(fields[11]) + int(fields[12])) * _TICK_SECONDS


def _resident_bytes(process: int) -> int:
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE_BYTES


def _anonymous_bytes(process: int) -> int:
    fields = ("RssAnon:", "RssShmem:", "VmSwap:")
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(fields))


def _proportional_bytes(process: int) -> int:
    for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _last_lines(output: str, log: Path) -> str:
    lines = [*output.splitlines(), *log.read_text(errors="replace").splitlines()]
    return "\n".join(lines[-_LAST_LINES:])
