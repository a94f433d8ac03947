"""A run's files into a table, in one commit; if others commit at the same time, after them."""

from __future__ import annotations

from deltalake import DeltaTable

from pipelines.errors import RunFailed
from pipelines.runs.attempts import recording_refusal
from pipelines.runs.rivals import refuse_rivals
from pipelines.runs.run_plan import RunPlan
from pipelines.storage import store
from pipelines.tables import commits, delta_tables, evolution, publications
from pipelines.tables.commits import DataFile, commit_files, commit_in_turn
from schemas.tables import RUNS, TABLES_BY_NAME


def require_table(plan: RunPlan, name: str) -> DeltaTable:
    """The newest snapshot of a table that the run is published to.

    Raises:
        RunFailed: it is gone.
        StorageError: it cannot be read.
    """
    table = delta_tables.open_table(plan.output, name)
    if table is None:
        raise RunFailed(f"the table {store.join_uri(plan.output, name)} is gone")
    return table


def commit_rows(plan: RunPlan, name: str, files: list[DataFile], snapshot: DeltaTable) -> None:
    """Commit files as the run's rows, unless that was done before.

    Args:
        name: of the table.
        snapshot: of the table, to try first; if others have committed since, newer ones are tried.

    Raises:
        RunFailed: every try met with a conflict, or another run has published the same chips.
        UsageError: the table cannot have this release's columns.
    """
    partition = {"run_date": plan.run_date, "run_id": plan.run_id}
    looked_at, snapshots = plan.scores_version, [snapshot]

    def commit() -> None:
        nonlocal looked_at
        table = snapshots.pop() if snapshots else require_table(plan, name)
        if is_done(plan, table):
            return
        evolution.add_columns(table, TABLES_BY_NAME[name])
        if name == "chip_scores":
            with recording_refusal(plan):
                refuse_rivals(plan, table, looked_at)
            looked_at = table.version()  # others may commit while this looks
        transactions = commits.next_transactions(table, plan.run_id, plan.attempt)
        if name == "chip_scores":
            committed = publications.committed_transaction(plan.run_id)
            rows = publications.rows_transaction(plan.run_id)
            transactions.append((committed, table.version() + 1))
            transactions.append((rows, sum(file.rows for file in files)))
        replace = plan.attempt > 1 or name == RUNS.name  # the row of an attempt that failed
        commit_files(table, files, partition, transactions, replace, metadata=partition)

    commit_in_turn(commit, f"commit run {plan.run_id} to {name}")


def commit_note(plan: RunPlan, row: DataFile) -> None:
    """Commit the row of an attempt that failed or is held, instead of an earlier attempt's; does
    nothing if the run is published.

    Raises:
        RunFailed: every try met with a conflict.
        StorageError: the log cannot be written.
    """
    partition = {"run_date": plan.run_date, "run_id": plan.run_id}

    def commit() -> None:
        table = require_table(plan, RUNS.name)
        if not is_done(plan, table):
            evolution.add_columns(table, RUNS)
            turn = [commits.next_turn(table)]
            commit_files(table, [row], partition, turn, replace=True, metadata=partition)

    commit_in_turn(commit, f"record the failure of run {plan.run_id}")


def is_done(plan: RunPlan, table: DeltaTable) -> bool:
    """Whether this attempt at the run is committed to a table."""
    return publications.attempts_of(table, plan.run_id) >= plan.attempt


def partition_path(plan: RunPlan, night: str = "") -> str:
    """The run's folder below a table's root, for rows of its own night or of `night`."""
    return f"run_date={night or plan.run_date}/run_id={plan.run_id}"
