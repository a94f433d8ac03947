"""Find what is new on the ground: alerts, from all looks at each place.

A place is clear once it was seen without a label. A look that shows the label then opens an alert
(low); two more of the next four looks confirm it (high); it is dropped if they do not, and ended
when three looks in a row no longer show it (docs/alerts.md). The tables `alerts`, `sites` (alerts
that are neighbours) and `alert_changes` are brought up to date with all published scores. Run it
after each night. A second call changes nothing. Options are kept for the next call.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from beam_jobs.options.label_names import listed_labels, named_labels
from beam_jobs.options.moments import day, end_of
from beam_jobs.options.reader_options import ReaderOptions
from beam_jobs.options.store_options import OUTPUT, address
from beam_jobs.sessions import open_session
from pipelines.alerts.areas import read_areas
from pipelines.alerts.published import NEVER_REPORTED
from pipelines.alerts.state import read_state
from pipelines.alerts.updating import Outcome, Request, update_alerts
from pipelines.commands import CommandLine, run_command
from pipelines.errors import UsageError, as_usage_error
from pipelines.flags import common_flag, flag, not_empty
from pipelines.storage.store import configure
from pipelines.tables import delta_tables
from pipelines.wording import count_of
from schemas.alert_tables import ALERTS, STATUSES
from schemas.render import label_columns
from schemas.tables import CHIP_SCORES


@dataclass(frozen=True, kw_only=True)
class AlertOptions(ReaderOptions):
    """The options of the command."""

    output: str = OUTPUT()
    labels: tuple[str, ...] | None = common_flag(
        "The labels that alerts are about. Default: as in the last update; at first the threats of "
        "the OUTPUT, those of the last score_chips --threats, or Planet's.",
        not_empty,
        metavar="LABEL",
        default=None,
    )
    baseline: date | None = common_flag(
        "Looks up to this day (UTC, included) open no alert: they only say whether a label was "
        "there before. Default: as in the last update; at first none.",
        day,
        metavar="DATE",
        default=None,
    )
    areas: str | None = common_flag(
        "A GeoJSON, GeoPackage or GeoParquet file of polygons with a column `name`: alerts and "
        "sites name those that they touch. Default: those of the last update.",
        address,
        metavar="FILE",
        default=None,
    )
    as_of: datetime | None = common_flag(
        "Ignore later looks: a time, or a day (UTC, included). Default: the newest look.",
        end_of,
        metavar="TIME",
        default=None,
    )
    reset: bool = flag(
        "Forget labels, baseline and areas of earlier updates that are not given here.",
        default=False,
    )


LINE = CommandLine(
    "beam_jobs.update_alerts",
    AlertOptions,
    __doc__ or "",
    epilog="""examples:
  python -m beam_jobs.update_alerts --output gs://bucket/forest
  python -m beam_jobs.update_alerts --output out --labels road slash_burn --baseline 2026-06-30
  python -m beam_jobs.update_alerts --output out --areas parks.gpkg
""",
)


def main(arguments: Sequence[str]) -> int:
    """Update the alerts of one OUTPUT; returns the exit code.

    Raises:
        UsageError: there are no tables; an unknown label; a file of areas that cannot be read.
        RunFailed: every attempt to commit conflicted with another writer.
        StorageError: a table cannot be read or written.
    """
    options = LINE.parse(arguments)
    configure(options.stores)
    labels = options.reading(options.output, lambda: _labels(options))
    areas = read_areas(options.areas) if options.areas else None
    for note in areas.notes if areas else ():
        print(f"note: --areas: {note}", file=sys.stderr)
    request = Request(
        labels, options.baseline, areas.rows if areas else None, options.as_of, options.reset
    )
    outcome = options.reading(options.output, lambda: update_alerts(options.output, request))
    print("\n".join(_lines(outcome)))
    for note in _notes(outcome):
        print(f"note: {note}", file=sys.stderr)
    never = options.reading(options.output, lambda: _never_reported(options.output))
    if mute := ", ".join(name for name in outcome.state.labels if name in never):
        print(f"warning: never reported, because the threshold is null: {mute}", file=sys.stderr)
    return 0


def _never_reported(output: str) -> set[str]:
    with open_session(output, NEVER_REPORTED, "") as (connection, _):
        return {label for (label,) in connection.sql(NEVER_REPORTED).fetchall()}


def _labels(options: AlertOptions) -> tuple[str, ...] | None:
    """The labels that the flag names, each once, in the order of the table; None without it.

    Raises:
        UsageError: there are no tables; an unknown label; without the flag, and without labels of
            an earlier update, no label is known as a threat.
    """
    with as_usage_error("--output"):
        scores = delta_tables.open_table(options.output, CHIP_SCORES.name)
    if scores is None:
        raise UsageError(
            f"--output {options.output!r} has no table chip_scores: publish a run there first"
        )
    known = [*label_columns(delta_tables.open_dataset(scores, []).schema)]
    if options.labels is None:
        alerts = delta_tables.open_table(options.output, ALERTS.name)
        before = read_state(alerts) if alerts else None
        if options.reset or not (before and before.options.labels):
            _check_threats(options.output, known)
        return None
    named = {name for text in options.labels for name in named_labels(text, known, "--labels")}
    return tuple(label for label in known if label in named)


def _check_threats(output: str, known: Sequence[str]) -> None:
    with open_session(output, "FROM threats", "") as (connection, _):
        if not connection.sql("FROM threats").fetchall():
            raise UsageError(
                "none of the labels of this OUTPUT is known as a threat: name some by --labels "
                f"({listed_labels(known)})"
            )


def _lines(outcome: Outcome) -> Iterator[str]:
    """What was done, for people."""
    row = outcome.row
    if outcome.unchanged:
        yield f"nothing is new since update {row['update_number']}"
    elif outcome.found:
        places = count_of(outcome.found.places, "place")
        why = f" (all of them: {outcome.why_all})" if outcome.why_all else ""
        yield f"computed {places} from {count_of(row['looks'], 'look')}{why}"
        yield f"{count_of(row['changes'], 'change')} published, update {row['update_number']}"
    alerts = ", ".join(f"{row[status]:,} {status}" for status in STATUSES)
    labels = ", ".join(outcome.state.labels)
    as_of = outcome.state.as_of
    yield f"alerts: {alerts}; {count_of(row['sites'], 'site')}"
    yield f"of {labels}, as of {as_of:%Y-%m-%d %H:%M} UTC" if as_of else "there is no look yet"


def _notes(outcome: Outcome) -> Iterator[str]:
    if unknown := outcome.places.unknown:
        yield (
            f"{count_of(unknown, 'chip')} of an earlier release without a footprint are no looks: "
            "run beam_jobs.maintain, then this command again"
        )
    if outcome.found is None:
        return
    counted = outcome.found.counted
    if outcome.state.resolution is None and counted.looks:
        yield (
            "no chip has a position: each address is a place of its own, alerts have no area, and "
            "no two of them make a site"
        )
    if counted.undated:
        yield (
            f"{counted.undated:,} of {count_of(counted.looks, 'look')} have no time of their own: "
            "the time when their object was written, or first scored, is taken for it"
        )
    if counted.future:
        yield (
            f"{count_of(counted.future, 'picture')} with a time after their scoring: ignored, "
            "because the time must be wrong"
        )


if __name__ == "__main__":
    run_command(main)
