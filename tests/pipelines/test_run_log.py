"""A run's log: each event is a line of JSON that names its run; plain text is unchanged."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from pipelines.run_log import JsonFormatter, RunLog, event
from tests.support.quick_scoring import start
from tests.support.samples import make_artifact, write_chips


@pytest.fixture
def lines():
    """What `event` logs, as JSON."""
    logger = logging.getLogger("pipelines.events")
    found: list[dict] = []
    handler = logging.Handler()
    handler.setFormatter(JsonFormatter("night-1"))
    handler.emit = lambda record: found.append(json.loads(handler.format(record)))
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    yield found
    logger.setLevel(level)
    logger.removeHandler(handler)


def test_an_event_is_a_line_with_its_name_its_fields_and_its_run(lines) -> None:
    event("unit_staged", unit=3, scored=7, reasons={"empty": 1}, read_ms=1.26)
    (line,) = lines
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "severity": "INFO",
        "message": 'unit_staged unit=3 scored=7 reasons={"empty": 1} read_ms=1.3',
        "logger": "pipelines.events",
        "run_id": "night-1",
        "event": "unit_staged",
        "unit": 3,
        "scored": 7,
        "reasons": {"empty": 1},
        "read_ms": 1.26,
    }


def test_a_field_cannot_replace_a_field_that_every_line_has(lines) -> None:
    event("unit_staged", severity=logging.WARNING, run_id="another", time="never")
    assert (lines[0]["run_id"], lines[0]["severity"]) == ("night-1", "WARNING")
    assert lines[0]["time"] != "never"


def test_an_error_with_a_traceback_stays_one_line_and_keeps_odd_characters() -> None:
    try:
        raise ValueError("two\nlines, ü")
    except ValueError:
        record = logging.getLogger("pipelines.x").makeRecord(
            "pipelines.x",
            logging.ERROR,
            "x.py",
            1,
            "it %s",
            ("broke\nhere",),
            __import__("sys").exc_info(),
        )
    text = JsonFormatter("night-1").format(record)
    assert "\n" not in text
    found = json.loads(text)
    assert found["message"] == "it broke\nhere"
    assert found["exception"].endswith("ValueError: two\nlines, ü")


def test_the_text_format_does_not_change_other_handlers() -> None:
    handler = logging.StreamHandler()
    logging.getLogger().addHandler(handler)
    try:
        RunLog("night-1").begin()
        assert handler.formatter is None
        assert logging.getLogger("pipelines").level == logging.NOTSET
    finally:
        logging.getLogger().removeHandler(handler)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Six chips, one of them empty, and a model."""
    folder: Path = tmp_path_factory.mktemp("logged")
    write_chips(folder / "chips", 6)[2].write_bytes(b"")
    make_artifact(folder / "model")
    return folder


def _logged(place: Path, **flags: object) -> tuple[int, list[dict]]:
    whole = {"chips": place / "chips", "artifact": place / "model", "run_id": "n", **flags}
    code, said = start({**whole, "log_format": "json"}, place / "log").finish()
    return code, [json.loads(line) for line in said.splitlines() if line.startswith("{")]


def test_a_run_logs_its_plan_its_units_and_its_publication(place) -> None:
    code, lines = _logged(place, output=place / "out")
    assert code == 0
    events = {(line["event"], line.get("unit")): line for line in lines if "event" in line}
    assert set(events) == {
        ("run_planned", None), ("unit_staged", 0), ("unit_staged", 1),
        ("run_judged", None), ("run_published", None), ("report_written", None),
    }  # fmt: skip
    assert {line["run_id"] for line in lines} == {"n"}
    staged = [events["unit_staged", unit] for unit in (0, 1)]
    assert [(line["scored"], line["reasons"]) for line in staged] == [(3, {"empty": 1}), (2, {})]
    sizes = sum(path.stat().st_size for path in (place / "chips").iterdir())
    assert sum(line["bytes_read"] for line in staged) == sizes
    published = events["run_published", None]
    assert (published["scored"], published["quarantined"]) == (5, 1)


def test_a_run_that_fails_logs_why(place) -> None:
    code, lines = _logged(place, output=place / "failed", max_quarantine_ratio=0.1)
    assert code == 1
    (failed,) = [line for line in lines if line.get("event") == "run_failed"]
    assert failed["severity"] == "ERROR"
    assert "--max_quarantine_ratio" in failed["reason"]
