"""Whatever its bytes are, each chip is scored or rejected with a reason, quickly and in bounded
memory, and nothing else is opened."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.tables import QuarantineReason
from tests.support import hostile_files

ROOT = Path(__file__).parents[2]
FILES = int(os.environ.get("HOSTILE_FILES", "500"))
SEED = int(os.environ.get("SEED", "1"))
REASONS = {"scored", *(reason.value for reason in QuarantineReason)}

needs_seccomp = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in hostile_files.SYSCALLS,
    reason="the kernel's seccomp filter is written for x86_64 and aarch64",
)


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=540)


@needs_seccomp
def test_mutated_files_are_scored_or_rejected_and_open_nothing() -> None:
    ended = _run("-m", "tests.support.hostile_files", str(FILES), str(SEED))
    assert ended.returncode == 0, f"seed {SEED}: {ended.stderr[-2000:]}"
    found = json.loads(ended.stdout)
    print(found)
    assert sum(found["counts"].values()) == FILES
    assert {outcome.partition(":")[0] for outcome in found["counts"]} <= REASONS
    assert len(found["counts"]) >= 6
    assert found["counts"]["scored"] > FILES / 20
    assert found["slowest_s"] < 1
    assert found["grown_kib"] < 100 << 10


@needs_seccomp
@pytest.mark.parametrize("use", ["open('/etc/hostname')", "__import__('socket').socket()"])
def test_a_sealed_process_ends_when_it_opens_anything(use: str) -> None:
    code = f"import socket; from tests.support.hostile_files import seal; seal(); {use}"
    assert _run("-c", code).returncode == -signal.SIGSYS


def test_the_same_seed_draws_the_same_files() -> None:
    first, second = (list(hostile_files.hostile_files(100, 3)) for _ in range(2))
    assert first == second
    assert first != list(hostile_files.hostile_files(100, 4))
