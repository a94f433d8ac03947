"""The questions that are built in: which of them an OUTPUT can answer, and what an answer leaves
out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from beam_jobs.options.label_names import listed_labels
from pipelines.wording import count_of
from schemas.label_sql import duckdb_text, for_labels, with_unproven
from schemas.statements import statements, without_header
from schemas.trust import PROVEN_POSITIVES

QUESTIONS = statements("questions")
"""The questions: name to SQL."""

_LAND_USE = ("agriculture", "cultivation", "habitation")
_CLOUD = "cloudy"
_ABOUT_PLACES = ("never_observed", "newly_appeared")

NO_PLACES = "its pictures have positions, and no places yet; run beam_jobs.update_places first"
"""Why a question about places cannot be asked."""


def question_sql(name: str, columns: Mapping[str, str], unproven: bool) -> str:
    """A question's SQL for a label set. Rows about threats that are not proven are always there:
    `leave_out` removes and counts them.

    Args:
        columns: each label and the column of its scores.
        unproven: whether shares of labels that are not proven are wanted, too.
    """
    sql = for_labels(QUESTIONS[name], columns, duckdb_text)
    return with_unproven(sql) if unproven or _is_about_threats(name) else sql


def why_not(
    name: str,
    labels: Sequence[str],
    threats: Sequence[str],
    has_sky: Callable[[], bool],
    needs_places: Callable[[], bool],
) -> str:
    """Why a question cannot be asked of an OUTPUT; "" if it can.

    Args:
        labels: the OUTPUT's labels.
        threats: those of them that count as threats.
        has_sky: returns whether its label set has sky labels.
        needs_places: returns whether pictures have positions, and there is not a single place.
    """
    if _is_about_threats(name) and not threats:
        return (
            "none of its labels is known as a threat; name some by --threats, here or once for "
            f"score_chips ({listed_labels(labels)})"
        )
    if name == "land_use_by_month" and not set(_LAND_USE).intersection(labels):
        return f"its label set has none of {', '.join(_LAND_USE)} ({listed_labels(labels)})"
    if name == "never_observed" and not (_CLOUD in labels and has_sky()):
        return f"its label set has no sky label {_CLOUD!r}, so nothing says what clouds hide"
    return NO_PLACES if is_about_places(name) and needs_places() else ""


def is_about_places(name: str) -> bool:
    """Whether a question's rows are about places."""
    return name in _ABOUT_PLACES


def is_about_dates(name: str) -> bool:
    """Whether a question orders pictures by time, so that it leaves out those with a wrong date."""
    return is_about_places(name) or name == "land_use_by_month"


def not_looked_at(without_places: int, future: int) -> list[str]:
    """Notes on the pictures that are no looks at a place.

    Args:
        without_places: pictures whose position is known, and whose places are not.
        future: pictures that were taken after they were scored, by their date.
    """
    notes = []
    if without_places:
        notes.append(
            f"left out: {count_of(without_places, 'picture')} without places yet; "
            "beam_jobs.update_places finds them"
        )
    if future:
        notes.append(
            f"left out: {count_of(future, 'picture')} with a wrong date, after the first scoring"
        )
    return notes


def leave_out(answer: pa.Table) -> tuple[pa.Table, list[str]]:
    """An answer without rows about labels that are not proven, and notes on what is left out."""
    notes = []
    if "proven" in answer.column_names:
        hidden = pc.fill_null(pc.invert(answer["proven"]), False)
        counts = Counter(answer.filter(hidden)["threat"].to_pylist())
        answer = answer.filter(pc.invert(hidden))
        rows = count_of(counts.total(), "row")
        if counts:
            labels = ", ".join(f"{label} {count}" for label, count in counts.most_common())
            notes.append(f"left out: {rows} about labels {_NOT_PROVEN} ({labels})")
    elif "not_proven" in answer.column_names:
        named = [text for text in answer["not_proven"].to_pylist() if text]
        labels = ", ".join(sorted({label for text in named for label in text.split(", ")}))
        notes += [f"left out: shares of labels {_NOT_PROVEN} ({labels})"] if named else []
    return answer, [f"{note}; --unproven shows them" for note in notes]


def unknown_trust(answer: pa.Table) -> list[str]:
    """A note if nothing is known of the labels of some rows."""
    if "proven" not in answer.column_names or not answer["proven"].null_count:
        return []
    return [
        "proven is NULL where nothing is known of a label: an earlier release published its model, "
        "or the artifact has no figures"
    ]


def _is_about_threats(name: str) -> bool:
    return "threats" in without_header(QUESTIONS[name])


_NOT_PROVEN = (
    f"that are not proven, with fewer than {PROVEN_POSITIVES} chips in validation and test, or "
    "never reported"
)
