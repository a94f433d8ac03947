"""Cores that a process may use, whatever the machine has."""

import math
import os
from pathlib import Path

import pytest

from pipelines import processors
from pipelines.processors import quota_cores, usable_cores


def groups(folder: Path, limits: dict[str, str], own: str) -> tuple[Path, Path]:
    """A tree of control groups with these `cpu.max`, and a process in one of them."""
    for name, text in limits.items():
        (folder / "groups" / name).mkdir(parents=True, exist_ok=True)
        (folder / "groups" / name / "cpu.max").write_text(text)
    (folder / "own").write_text(own)
    return folder / "groups", folder / "own"


@pytest.mark.parametrize(
    ("limits", "own", "cores"),
    [
        ({".": "150000 100000"}, "0::/\n", 1.5),
        ({".": "max 100000"}, "0::/\n", math.inf),
        ({"pod": "400000 100000", "pod/job": "max 100000"}, "0::/pod/job\n", 4),
        ({"pod": "400000 100000", "pod/job": "50000 100000"}, "0::/pod/job\n", 0.5),
        ({"other": "50000 100000"}, "0::/pod\n", math.inf),
        ({".": "no numbers at all"}, "0::/\n", math.inf),
        ({".": "100000 0"}, "0::/\n", math.inf),
        ({".": "100000 100000"}, "3:cpu:/x\n0::/\n", 1),
    ],
)
def test_the_tightest_quota_around_the_process_counts(tmp_path, limits, own, cores):
    assert quota_cores(*groups(tmp_path, limits, own)) == cores


def test_without_control_groups_there_is_no_quota(tmp_path):
    assert quota_cores(tmp_path, tmp_path / "missing") == math.inf


@pytest.mark.parametrize(("quota", "cores"), [(math.inf, 8), (2.5, 3), (0.1, 1), (64.0, 8)])
def test_a_process_uses_no_more_cores_than_its_affinity_and_its_quota_allow(
    monkeypatch, quota, cores
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setattr(processors, "quota_cores", lambda: quota)
    usable_cores.cache_clear()
    assert usable_cores() == cores
    usable_cores.cache_clear()
