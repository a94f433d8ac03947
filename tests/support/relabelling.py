"""The command that relabels, run in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from beam_jobs import relabel_chips
from beam_jobs.query import ask
from pipelines.commands import exit_code
from schemas.artifact import thresholds_digest
from schemas.labels import PLANET_LABELS

HALF = dict.fromkeys(PLANET_LABELS.names, 0.5)
HALF_DIGEST = thresholds_digest(HALF)
LOW = {**HALF, "road": 0.2}
"""Thresholds with which each row that `scored` makes also gets the label road."""


class Relabel:
    """Called with thresholds and flags, it returns exit code, output and error output."""

    def __init__(self, folder: Path, capsys: Any = None, output: str = "") -> None:
        self.output, self.file = output or str(folder / "out"), folder / "thresholds.json"
        self._capsys = capsys

    def __call__(self, thresholds: Any, *flags: str) -> tuple[int, str, str]:
        text = thresholds if isinstance(thresholds, str) else json.dumps(thresholds)
        self.file.write_text(text)
        arguments = ["--output", self.output, "--thresholds", str(self.file), *flags]
        code = exit_code(relabel_chips.main, arguments)
        return code, *(self._capsys.readouterr() if self._capsys else ("", ""))

    def rows(self, sql: str) -> list[tuple]:
        return [tuple(row.values()) for row in ask(self.output, sql).to_pylist()]

    def labels(self, view: str = "latest_chip_scores") -> dict[str, str]:
        found = self.rows(f"SELECT chip_uri || coalesce(etag, ''), labels FROM {view}")
        assert len({chip for chip, _ in found}) == len(found)
        return {chip: " ".join(labels) for chip, labels in found}
