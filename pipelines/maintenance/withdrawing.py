"""Withdraw a published run: one commit to `chip_scores` hides all of it.

Views show quarantine only for runs that are published in `chip_scores`, and take the status in
`runs` from there too, so this commit alone is the withdrawal. The rest is clean-up: if the command
dies before it, withdraw the run again.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

from deltalake import DeltaTable

from pipelines.errors import UsageError
from pipelines.maintenance.copies import refuse_relabelled
from pipelines.publishing import publishing
from pipelines.tables import commits, delta_tables, publications
from pipelines.tables.commits import DataFile, commit_in_turn
from pipelines.tables.parquet_files import write_rows
from schemas.table import Table
from schemas.tables import CHIP_SCORES, READ_ORDER, RUNS, WITHDRAWN

_Left = Callable[[DeltaTable], tuple[list[DataFile], str]]


def withdraw_run(output: str, run_id: str) -> bool:
    """Withdraw a run from all tables; its row in `runs` stays, with status `withdrawn`.

    Returns:
        Whether it was published until now; False if it was withdrawn before.

    Raises:
        UsageError: no such run was ever published, or its scores were relabelled.
        RunFailed: every try met with a conflict.
        StorageError: a table cannot be read or written.
    """
    scores = delta_tables.open_table(output, "chip_scores")
    attempt = publications.attempts_of(scores, run_id)
    if not attempt:
        raise UsageError(f"no run {run_id!r} is published in {output!r}")
    publishing.finish_record(output, run_id)

    def nothing(snapshot: DeltaTable) -> tuple[list[DataFile], str]:
        refuse_relabelled(output, snapshot, run_id)
        return [], ""

    left: dict[Table, _Left] = {
        CHIP_SCORES: nothing,
        RUNS: lambda runs: _record(output, runs, run_id),
    }
    removed = [
        _withdraw_from(output, table.name, run_id, attempt, left.get(table, _nothing))
        for table in READ_ORDER
    ]
    return removed[0]  # from chip_scores


def _withdraw_from(output: str, name: str, run_id: str, attempt: int, left: _Left) -> bool:
    """Withdraw from one table, in one commit; False if that was done before."""

    def commit() -> bool:
        table = delta_tables.open_table(output, name)
        if table is None or publications.withdrawn_attempt(table, run_id) >= attempt:
            return False
        if publications.attempts_of(table, run_id) > attempt:
            return False  # rows of the next attempt, not published yet
        commits.withdraw_rows(table, run_id, attempt, *left(table))
        return True

    return commit_in_turn(commit, f"withdraw run {run_id} from {name}")


def _nothing(_: DeltaTable) -> tuple[list[DataFile], str]:
    return [], ""


def _record(output: str, runs: DeltaTable, run_id: str) -> tuple[list[DataFile], str]:
    """The run's row with its new status, in a file that is not committed yet."""
    rows = delta_tables.open_dataset(runs, [run_id]).to_table().to_pylist()
    if not rows:
        return _nothing(runs)
    night = str(rows[0]["run_date"])
    path = f"run_date={night}/run_id={run_id}/withdrawn-{uuid.uuid4().hex[:8]}.parquet"
    return [write_rows(output, RUNS, path, [{**rows[0], "status": WITHDRAWN}])], night
