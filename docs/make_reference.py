"""Write docs/reference.md from the code: `python -m docs.make_reference`. A test keeps it fresh."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from beam_jobs import (
    bigquery,
    brief,
    export_alerts,
    flex_template,
    maintain,
    publish,
    query,
    record_verdicts,
    relabel_chips,
    replay_quarantine,
    report,
    update_alerts,
    update_places,
    withdraw,
)
from beam_jobs.options.run_options import SCORE_LINE
from pipelines import commands, metrics
from pipelines.commands import CommandLine
from pipelines.flags import Flag, flags_of, removed_flags
from pipelines.run_log import EVENTS
from schemas.statements import statements, summary_of
from schemas.table import Table
from schemas.tables import TABLES, QuarantineReason
from train import conversion, evaluation, options, sample_archive, set_thresholds, signing
from train.compare import compare
from train.explore import explore
from train.filters import filters
from train.forest import forest_training
from train.study import options as study_options

PAGE = Path(__file__).with_name("reference.md")

LINES: tuple[CommandLine[Any], ...] = (
    SCORE_LINE,
    *(module.LINE for module in (query, brief, report, publish, withdraw, relabel_chips)),
    *(module.LINE for module in (replay_quarantine, maintain, update_places, update_alerts)),
    *(module.LINE for module in (export_alerts, record_verdicts)),
    *(module.LINE for module in (bigquery, flex_template)),
    *(module.LINE for module in (options, evaluation, compare, conversion, set_thresholds)),
    *(module.LINE for module in (signing, explore)),
    *(module.LINE for module in (filters, forest_training)),
    *(module.LINE for module in (study_options, sample_archive)),
)
"""Every command line."""

_HEAD = """# Reference

Written from the code by `python -m docs.make_reference`. Every flag, table, column, view, question,
reason, metric, event and exit code.
"""
_RANK = ("required", "common", "other")


def reference() -> str:
    """The page, as Markdown."""
    sections = (
        _HEAD,
        "## Commands\n",
        *map(_command, LINES),
        "## Tables\n",
        *map(_table, TABLES),
        _named("Views", ("view", "what it shows"), _statements("views")),
        _named("Questions", ("question", "what it answers"), _statements("questions")),
        _named("Quarantine reasons", ("reason", "why", "kind"), _reasons()),
        _named("Metrics", ("metric", "what it counts or measures"), _metrics()),
        _named("Events", ("event", "when"), EVENTS.items()),
        _named("Exit codes", ("code", "meaning"), commands.EXIT_CODES.items()),
    )
    return "\n".join(sections)


def _command(line: CommandLine[Any]) -> str:
    flags = sorted(flags_of(line.options), key=lambda flag: _RANK.index(flag.group))
    removed = [(f"--{name[2:]}", "", "Has no effect any more.") for name in _removed(line)]
    rows = [*map(_flag_row, flags), *removed]
    table = _rows(("flag", "values", "what it does"), rows) if rows else ""
    return f"### python -m {line.module}\n\n{line.description.strip()}\n\n{table}"


def _removed(line: CommandLine[Any]) -> list[str]:
    return removed_flags(line.options)


def _flag_row(flag: Flag) -> tuple[str, str, str]:
    name = flag.metavar if flag.positional else f"--{flag.name}"
    values = ", ".join(map(str, flag.choices)) or ("" if flag.is_switch else flag.metavar)
    needed = "Required. " if flag.group == "required" else ""
    return name, values, needed + flag.help_with_default


def _table(table: Table) -> str:
    rows = [
        (column.name, column.type + ("" if column.required else ", may be null"), _meaning(column))
        for column in table.columns
    ]
    head = f"### {table.name}\n\n{table.description}\n\n"
    return head + _rows(("column", "type", "meaning"), rows)


def _meaning(column: Any) -> str:
    return column.description + (f" Unit: {column.unit}." if column.unit else "")


def _statements(folder: str) -> Iterator[tuple[str, str]]:
    return ((name, summary_of(text)) for name, text in statements(folder).items())


def _reasons() -> Iterator[tuple[str, str, str]]:
    for reason in QuarantineReason:
        yield reason.value, reason.description, "permanent" if reason.permanent else "temporary"


def _metrics() -> list[tuple[str, str]]:
    return [*metrics.COUNTERS.items(), *metrics.DISTRIBUTIONS.items()]


def _named(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    return f"## {title}\n\n{_rows(head, rows)}"


def _rows(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table whose first column is code."""
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for first, *others in rows:
        cells = [f"`{first}`", *(str(cell).replace("|", "\\|") for cell in others)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
