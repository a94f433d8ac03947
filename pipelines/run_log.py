"""A run's log: events with fields, as text for people or as JSON lines for machines.

A JSON line has `time` (RFC 3339), `severity`, `message`, `logger` and `run_id`; an event also has
its name as `event`, and its fields. Google Cloud Logging understands these names
(https://cloud.google.com/logging/docs/structured-logging), and so do log shippers. On workers the
engine's own handlers stay, and send lines in this form.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

LogFormat = Literal["text", "json"]

_OURS = ("pipelines", "beam_jobs")
_events = logging.getLogger("pipelines.events")

EVENTS: Mapping[str, str] = {
    "damage_skipped": "a missing or damaged file of the tables is left out (--skip_damaged)",
    "run_planned": "the manifest is stored",
    "model_loaded": "a process has loaded the model",
    "unit_staged": "a unit is staged completely",
    "run_judged": "a night has been compared with the nights before it",
    "run_published": "the run is visible and recorded",
    "report_written": "the report is written",
    "report_failed": "the report could not be written",
    "run_failed": "the run ends with exit code 1",
}
"""Name of each event, and when it is logged."""


@dataclass(frozen=True)
class RunLog:
    """How a run logs; sent to its workers.

    Attributes:
        run_id: written in each line.
        format: text: warnings and worse, for people. json: our own events, too.
    """

    run_id: str
    format: LogFormat = "text"

    def begin(self) -> None:
        """Make this process log like this from now on; may be called again."""
        root = logging.getLogger()
        if not root.handlers:
            root.addHandler(logging.StreamHandler(sys.stderr))
        if self.format == "text":
            return
        for handler in root.handlers:
            handler.setFormatter(JsonFormatter(self.run_id))
        for name in _OURS:
            logging.getLogger(name).setLevel(logging.INFO)


def event(name: str, severity: int = logging.INFO, **fields: Any) -> None:
    """Log that something happened.

    Args:
        name: what happened, in the past tense.
        severity: a level of `logging`.
        fields: details, as JSON values.
    """
    pairs = " ".join(f"{field}={_value(value)}" for field, value in fields.items())
    _events.log(severity, "%s %s", name, pairs, extra={"event": name, "event_fields": fields})


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON.

    Args:
        run_id: the run that the process works for.
    """

    def __init__(self, run_id: str) -> None:
        super().__init__()
        self._run_id = run_id

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "severity": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
            "run_id": self._run_id,
        }
        if name := getattr(record, "event", None):
            line |= {**getattr(record, "event_fields", {}), **line, "event": name}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def _value(value: Any) -> str:
    return f"{value:.1f}" if isinstance(value, float) else json.dumps(value, default=str)
