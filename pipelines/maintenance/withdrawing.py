"""Withdraw a published run: one commit to `chip_scores` hides all of it.

Views show quarantine only for runs that are published in `chip_scores`, and take the status in
`runs` from there too, so this commit alone is the withdrawal. The rest is clean-up: if the command
dies before it, withdraw the run again.
"""

from __future__ import annotations

import logging
import uuid
from datetime import UTC, datetime

import pyarrow as pa
from deltalake import DeltaTable

from pipelines.errors import RunFailed, StorageError, UsageError
from pipelines.maintenance.copies import refuse_relabelled
from pipelines.publishing import publishing
from pipelines.tables import commits, delta_tables, publications
from pipelines.tables.commits import DataFile, commit_in_turn
from pipelines.tables.parquet_files import write_table
from schemas.table import Table
from schemas.tables import CHIP_SCORES, READ_ORDER, RUNS, WITHDRAWN

_log = logging.getLogger(__name__)


def withdraw_run(output: str, run_id: str, reason: str = "") -> bool:
    """Withdraw a run from all tables; its row in `runs` stays, with status `withdrawn`.

    Args:
        reason: why, for the row and the report.

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
    try:
        publishing.finish_record(output, run_id)
    except (RunFailed, StorageError) as error:  # what readers see is removed all the same
        _log.warning("run %s is withdrawn without a row in runs: %s", run_id, error)
    when = f"on {datetime.now(UTC):%Y-%m-%d at %H:%M UTC}"
    why = f"{when}: {reason}" if reason else when
    removed = [_withdraw_from(output, table, run_id, attempt, why) for table in READ_ORDER]
    return removed[0]  # from chip_scores


def _withdraw_from(output: str, table: Table, run_id: str, attempt: int, why: str) -> bool:
    """Withdraw from one table, in one commit; False if that was done before."""

    def commit() -> bool:
        found = delta_tables.open_table(output, table.name)
        if found is None or publications.withdrawn_attempt(found, run_id) >= attempt:
            return False
        if publications.attempts_of(found, run_id) > attempt:
            return False  # rows of the next attempt, not published yet
        if table is CHIP_SCORES:
            refuse_relabelled(output, found, run_id)
        left, night = _record(output, found, run_id, why) if table is RUNS else ([], "")
        commits.withdraw_rows(found, run_id, attempt, left, night)
        return True

    return commit_in_turn(commit, f"withdraw run {run_id} from {table.name}")


def _record(output: str, runs: DeltaTable, run_id: str, why: str) -> tuple[list[DataFile], str]:
    """The run's row with its new status, in a file that is not committed yet."""
    try:
        rows = delta_tables.open_dataset(runs, [run_id]).to_table().slice(0, 1)
    except delta_tables.UNREADABLE as error:
        _log.warning("run %s is withdrawn, and its damaged row in runs removed: %s", run_id, error)
        return [], ""
    if not rows.num_rows:
        return [], ""
    night = str(rows["run_date"][0])
    for name, value in (("status", WITHDRAWN), ("reason", why)):
        at = rows.schema.get_field_index(name)
        rows = rows.set_column(at, rows.schema.field(at), pa.array([value]))
    path = f"run_date={night}/run_id={run_id}/withdrawn-{uuid.uuid4().hex[:8]}.parquet"
    row = delta_tables.with_columns(rows, delta_tables.file_columns(runs))
    return [write_table(output, RUNS.name, path, row)], night
