"""A run's files into a table: one commit, after whoever is committing at the same moment."""

from __future__ import annotations

from deltalake import DeltaTable

from pipelines import delta_tables, storage
from pipelines.attempts import refusal_written
from pipelines.delta_tables import (
    COMMIT_TRIES,
    DataFile,
    PublishConflict,
    commit_files,
    commit_tries,
)
from pipelines.errors import RunFailed
from pipelines.planning import RunPlan
from pipelines.rivals import refuse_rivals
from schemas.tables import RUNS


def open_table(plan: RunPlan, name: str) -> DeltaTable:
    """The newest snapshot of one of the tables that the run is published to.

    Raises:
        RunFailed: it is gone.
        StorageError: it cannot be read.
    """
    table = delta_tables.open_table(plan.output, name)
    if table is None:
        raise RunFailed(f"the table {storage.join_uri(plan.output, name)} is gone")
    return table


def commit_rows(plan: RunPlan, name: str, files: list[DataFile]) -> None:
    """Commit files as the run's rows, after whoever is committing at the same moment; not again
    where that was done before.

    Raises:
        RunFailed: others were faster again and again, or have published the same chips.
    """
    partition = {"run_date": plan.run_date, "run_id": plan.run_id}
    looked_at = plan.scores_version
    for _ in commit_tries():
        table = open_table(plan, name)
        if is_done(plan, table):
            return
        if name == "chip_scores":
            with refusal_written(plan):
                refuse_rivals(plan, table, looked_at)
            looked_at = table.version()  # a look takes time, in which others may commit again
        transactions = delta_tables.next_transactions(table, plan.run_id, plan.attempt)
        replace = plan.attempt > 1 or name == RUNS.name  # the row of an attempt that failed
        try:
            commit_files(table, files, partition, transactions, replace, metadata=partition)
            return
        except PublishConflict:
            continue
    raise RunFailed(f"run {plan.run_id}: {COMMIT_TRIES} commits to {name} met with conflicts")


def commit_note(plan: RunPlan, row: DataFile) -> None:
    """Commit the row of an attempt that failed or is held, in the place of an earlier one; not
    beside or after the row of a published one.

    Raises:
        RunFailed: others were faster again and again.
        StorageError: the log cannot be written.
    """
    partition = {"run_date": plan.run_date, "run_id": plan.run_id}
    for _ in commit_tries():
        table = open_table(plan, RUNS.name)
        if is_done(plan, table):
            return
        turn, _attempt = delta_tables.next_transactions(table, plan.run_id)
        try:
            commit_files(table, [row], partition, [turn], replace=True, metadata=partition)
            return
        except PublishConflict:
            continue
    raise RunFailed(f"{COMMIT_TRIES} commits met with conflicts")


def is_done(plan: RunPlan, table: DeltaTable) -> bool:
    """Whether this attempt at the run is committed to a table, by whomever."""
    return delta_tables.attempts_of(table, plan.run_id) >= plan.attempt


def partition_path(plan: RunPlan, night: str = "") -> str:
    """The run's folder below a table's root, for rows of its own night or of another."""
    return f"run_date={night or plan.run_date}/run_id={plan.run_id}"
