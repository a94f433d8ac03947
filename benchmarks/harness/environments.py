"""The peers' own Python environments, made from requirements-peers.txt, once."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.harness.own_process import ROOT

REQUIREMENTS = Path(__file__).parents[1] / "requirements-peers.txt"
ENVIRONMENTS = ROOT / "build" / "bench-envs"
EVERY = "every"
"""The section that goes into each environment."""

_SECTION = re.compile(r"# \[(\w+)\]")


class PeerMissing(Exception):
    """A peer cannot run here; the message has the reason."""


def read_requirements(text: str) -> dict[str, list[str]]:
    """Section name to its pinned requirements.

    Raises:
        ValueError: a requirement is before the first section, or is not pinned.
    """
    sections: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in text.splitlines():
        if header := _SECTION.match(line):
            current = sections.setdefault(header[1], [])
        elif line.strip() and not line.startswith("#"):
            if current is None or "==" not in line:
                raise ValueError(f"{line!r} is not pinned with ==, or in no section")
            current.append(line.strip())
    return sections


def make_environment(peer: str, folder: Path) -> Path:
    """Python of the peer's environment, which is made below `folder` if it does not exist.

    Raises:
        PeerMissing: no such section, or its packages could not be installed.
    """
    sections = read_requirements(REQUIREMENTS.read_text(encoding="utf-8"))
    if peer not in sections:
        raise PeerMissing(f"requirements-peers.txt has no section [{peer}]")
    wanted = [*sections[EVERY], *sections[peer]]
    home = folder / peer
    stamp = home / f"made-{hashlib.sha256(chr(10).join(wanted).encode()).hexdigest()[:12]}"
    if not stamp.exists():
        print(f"installing the environment of {peer} (some minutes, once)", file=sys.stderr)
        shutil.rmtree(home, ignore_errors=True)
        for command in _commands(home, wanted):
            _run(command, peer)
        stamp.touch()
    return home / "bin" / "python"


def _commands(home: Path, wanted: list[str]) -> list[list[str]]:
    python = str(home / "bin" / "python")
    if uv := shutil.which("uv"):
        return [
            [uv, "venv", "--quiet", "--python", sys.executable, str(home)],
            [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python, *wanted],
        ]
    return [
        [sys.executable, "-m", "venv", str(home)],
        [python, "-m", "pip", "install", "--quiet", "--compile", *wanted],
    ]


def _run(command: list[str], peer: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise PeerMissing(f"the environment of {peer} could not be made: {last}")
