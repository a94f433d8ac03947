"""The machine and the versions that figures belong to."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

FLAGS = ("amx_bf16", "avx512_bf16", "avx512_vnni", "avx2")
_PACKAGES = (
    *(
        "apache-beam",
        "tensorflow",
        "keras",
        "openvino",
        "nncf",
        "numpy",
        "pyarrow",
        "deltalake",
        "duckdb",
    ),
    *("obstore", "rasterio", "simplejpeg", "google-cloud-storage"),
)


def describe_machine() -> dict[str, Any]:
    """Processor, cores, memory, what else it was doing, versions and the time (UTC)."""
    information = _read("/proc/cpuinfo")
    models = [line for line in information.splitlines() if line.startswith("model name")]
    present = set(information.split())
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        "processor": models[0].partition(":")[2].strip() if models else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "flags": {flag: flag in present for flag in FLAGS},
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9, 1),
        "load_at_start": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "versions": _versions(),
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""
