"""Measuring in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.harness.measure import environment_of_runs

ROOT = Path(__file__).parents[2]
"""The repository, in which every command runs."""


def run_module(module: str, *arguments: object, **environment: str) -> dict[str, Any]:
    """Run a module of `benchmarks`, and read the JSON of its last line.

    Raises:
        RuntimeError: it failed; with the last line of its errors.
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment_of_runs(**environment),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise RuntimeError(f"{' '.join(command[2:])}: {last}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
