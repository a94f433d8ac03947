"""Copies of a run's scores: a relabelling has copied rows of other runs.

If only such a run were withdrawn, its scores would remain visible with other labels, and its chips
would count as done.
"""

from __future__ import annotations

from collections.abc import Collection

import duckdb
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import DeltaTable

from pipelines.errors import UsageError
from pipelines.tables import delta_tables
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
    kinds = kinds_of_runs(output)
    if kinds.get(run_id) == RELABEL:
        return
    # A run without a row may be a relabelling whose publisher died just before it.
    others = {file.run_id for file in delta_tables.data_files(scores)} - {run_id}
    copiers = {other for other in others if kinds.get(other, RELABEL) == RELABEL}
    if copier := _copier(scores, run_id, copiers):
        raise UsageError(
            f"the scores of run {run_id} were relabelled by run {copier}: withdraw that first, and "
            f"relabel again when run {run_id} is withdrawn"
        )


def kinds_of_runs(output: str) -> dict[str, str]:
    """The `runs.kind` of each run that has a row.

    Raises:
        StorageError: `runs` cannot be read.
    """
    runs = delta_tables.open_table(output, RUNS.name)
    if runs is None:
        return {}
    rows = delta_tables.open_dataset(runs).to_table(columns=["run_id", "kind"])
    return dict(zip(rows["run_id"].to_pylist(), rows["kind"].to_pylist(), strict=True))


def _copier(scores: DeltaTable, run_id: str, candidates: Collection[str]) -> str:
    """One of the candidates that has scores of this run; "" if there is none."""
    mine = delta_tables.open_dataset(scores, [run_id]).to_table(columns=_KEYS)
    if not mine.num_rows or not candidates:
        return ""
    scored_at = pc.min_max(mine["scored_at"])
    in_those_hours = (ds.field("scored_at") >= scored_at["min"]) & (
        ds.field("scored_at") <= scored_at["max"]
    )
    connection = duckdb.connect()
    connection.register("mine", mine)
    theirs = delta_tables.open_dataset(scores, candidates).scanner(
        columns=[*_KEYS, "run_id"], filter=in_those_hours
    )
    connection.register("theirs", theirs.to_reader())
    found = connection.sql(
        "SELECT max(run_id) FROM theirs SEMI JOIN mine USING (chip_uri, scored_at)"
    ).fetchall()
    return str(found[0][0] or "")
