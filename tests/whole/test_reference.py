"""The reference agrees with the code, and is complete."""

from __future__ import annotations

import re
from pathlib import Path

from beam_jobs.__main__ import COMMANDS
from docs.make_reference import LINES, PAGE, reference
from pipelines.reports.watching import JUDGED
from pipelines.run_log import EVENTS

_ROOT = Path(__file__).parents[2]


def test_the_stored_page_is_up_to_date() -> None:
    again = "write it again: python -m docs.make_reference"
    assert PAGE.read_text("utf-8") == reference(), again


def test_every_command_is_in_the_reference() -> None:
    modules = {command.module for command in COMMANDS.values()}
    assert modules <= {line.module for line in LINES}


def test_every_event_that_is_logged_is_described() -> None:
    sources = [
        path.read_text("utf-8")
        for package in ("pipelines", "beam_jobs")
        for path in (_ROOT / package).rglob("*.py")
    ]
    logged = {name for text in sources for name in re.findall(r'\bevent\(\s*"(\w+)"', text)}
    assert logged | {JUDGED} == set(EVENTS)
