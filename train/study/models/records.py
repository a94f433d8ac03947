"""What a finished part of the study was made from, so that it is not made again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.storage.store import write_bytes
from train.results import SUMMARY_FILE


def read_outcome(path: Path, request: Mapping[str, Any]) -> dict[str, Any] | None:
    """What came of a part that was asked for in just this way; None where nothing did yet."""
    try:
        record = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    if not isinstance(record, dict) or record.get("request") != as_json(request):
        return None
    outcome: dict[str, Any] = record["outcome"]
    return outcome


def write_outcome(path: Path, request: Mapping[str, Any], outcome: Mapping[str, Any]) -> None:
    """Record that a part is finished."""
    text = json.dumps({"request": request, "outcome": outcome}, indent=1)
    write_bytes(str(path), f"{text}\n".encode())


def read_summary(folder: Path, part: str) -> dict[str, Any]:
    """What a command said of its results in a part of the study's folder.

    Its pictures are named as they lie in the study's folder. Nothing where one is missing.
    """
    try:
        summary = json.loads((folder / part / SUMMARY_FILE).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    pictures = [p | {"file": f"{part}/{p['file']}"} for p in summary["pictures"]]
    complete = all((folder / picture["file"]).is_file() for picture in pictures)
    return summary | {"pictures": pictures} if complete else {}


def as_json(value: Any) -> Any:
    """A value as it comes back from JSON: tuples as lists."""
    return json.loads(json.dumps(value))
