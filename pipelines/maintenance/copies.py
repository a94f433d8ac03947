"""Copies of a run's scores: a relabelling has copied rows of other runs.

If only such a run were withdrawn, its scores would remain visible with other labels, and its chips
would count as done.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from contextlib import suppress
from typing import Any

import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable

from pipelines import databases
from pipelines.errors import UsageError
from pipelines.tables import delta_tables, live_files
from schemas.tables import RELABEL, RUNS

_KEYS = ["chip_uri", "scored_at"]
"""What identifies a score, and is the same in its copies."""


def refuse_relabelled(output: str, scores: DeltaTable, run_id: str) -> None:
    """Refuse to withdraw a run whose rows were relabelled; a relabelling itself may be withdrawn.

    Args:
        scores: the snapshot of `chip_scores` to search.

    Raises:
        UsageError: the message names the relabelling.
    """
    others = {file.run_id for file in live_files.data_files(scores)} - {run_id}
    kinds = kinds_of_runs(output, {run_id, *others})
    if kinds.get(run_id) == RELABEL:
        return
    # A run without a row may be a relabelling whose publisher died just before it.
    copiers = {other for other in others if kinds.get(other, RELABEL) == RELABEL}
    try:
        copier = _copier(scores, run_id, copiers)
    except delta_tables.UNREADABLE:  # a damaged run must be withdrawn to be scored again
        copier = _recorded_copier(output, run_id, copiers)
    if copier:
        raise UsageError(
            f"the scores of run {run_id} were relabelled by run {copier}: withdraw that first, and "
            f"relabel again when run {run_id} is withdrawn"
        )


def kinds_of_runs(output: str, run_ids: Collection[str]) -> dict[str, str]:
    """The `runs.kind` of each of some runs that has a row.

    Raises:
        StorageError: `runs` cannot be read.
    """
    runs = delta_tables.open_table(output, RUNS.name)
    if runs is None:
        return {}
    return {row["run_id"]: row["kind"] for row in _rows_of_runs(runs, run_ids, "kind")}


def _rows_of_runs(runs: DeltaTable, run_ids: Collection[str], column: str) -> list[dict[str, Any]]:
    """A column of `runs` for some runs; a run whose file is missing or damaged has no row."""
    names, rows = ["run_id", column], delta_tables.open_dataset(runs, run_ids)
    try:
        return list(rows.to_table(columns=names).to_pylist())
    except delta_tables.UNREADABLE:
        found: list[dict[str, Any]] = []
        for fragment in rows.get_fragments():
            with suppress(*delta_tables.UNREADABLE):
                found += fragment.to_table(schema=rows.schema, columns=names).to_pylist()
        return found


def _recorded_copier(output: str, run_id: str, candidates: Collection[str]) -> str:
    """One of the candidates whose record says that it has relabelled this run, "" if none does."""
    runs = delta_tables.open_table(output, RUNS.name)
    for row in _rows_of_runs(runs, candidates, "options") if runs else ():
        if run_id in json.loads(row["options"]).get("relabelled_runs", ()):
            return str(row["run_id"])
    return ""


def _copier(scores: DeltaTable, run_id: str, candidates: Collection[str]) -> str:
    """One of the candidates that has scores of this run; "" if there is none."""
    mine = delta_tables.open_dataset(scores, [run_id]).to_table(columns=_KEYS)
    if not mine.num_rows or not candidates:
        return ""
    scored_at = pc.min_max(mine["scored_at"])
    in_those_hours = (ds.field("scored_at") >= scored_at["min"]) & (
        ds.field("scored_at") <= scored_at["max"]
    )
    connection = databases.connect()
    connection.register("mine", mine)
    theirs = delta_tables.open_dataset(scores, candidates).scanner(
        columns=[*_KEYS, "run_id"], filter=in_those_hours
    )
    connection.register("theirs", theirs.to_reader())
    found = connection.sql(
        "SELECT max(run_id) FROM theirs SEMI JOIN mine USING (chip_uri, scored_at)"
    ).fetchall()
    return str(found[0][0] or "")
