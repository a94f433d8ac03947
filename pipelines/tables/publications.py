"""What is published: each run's attempts in a snapshot of a table.

The commit to `chip_scores` publishes a run. Each commit carries facts as Delta's application
transactions, which survive checkpoints and the clean-up of old log files:

- `run:<run_id>`: the run's attempts, 1 for its first publication, 2 for a replacement. A run
  without a single row has it, too.
- `withdrawn:<run_id>`: the last attempt that was withdrawn.
- `committed:<run_id>`: the version of the table that the last attempt made, or a little less if
  others committed meanwhile: of two runs, the one that was committed later has the larger number.
- `rows:<run_id>`: how many rows the last attempt has; 0 when its nights were removed for their age.
  Another tool may restore an older version of the table: the run's rows are gone then, although
  its transactions stay.
- `publisher`: see `pipelines.tables.commits`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from pipelines.storage.retries import with_retries
from pipelines.storage.storage_errors import is_temporary
from pipelines.storage.store import delta_options
from pipelines.tables.delta_tables import table_error
from pipelines.tables.transactions import transaction_version


def attempts_of(table: DeltaTable | None, run_id: str) -> int:
    """The run's last attempt that was committed to this table, 0 if there is none. A publisher that
    died between two tables leaves a gap in the later ones: the next attempt has a new number."""
    return _version(table, run_transaction(run_id))


def withdrawn_attempt(table: DeltaTable | None, run_id: str) -> int:
    """The run's last attempt whose rows were withdrawn from this table, 0 if there is none."""
    return _version(table, withdrawal_transaction(run_id))


def commit_version(scores: DeltaTable, run_id: str) -> int | None:
    """The place of a run's last commit in the order of all commits to `chip_scores`; None if an
    earlier release committed it."""
    return _version(scores, committed_transaction(run_id)) or None


def is_published(scores: DeltaTable | None, run_id: str) -> bool:
    """Whether a run is published in this snapshot of `chip_scores`, and its rows are there."""
    return run_id in published_run_ids(scores, [run_id])


def published_run_ids(scores: DeltaTable | None, candidates: Iterable[str]) -> set[str]:
    """Those of the runs that are published; none if there is no `chip_scores` yet."""
    if scores is None:
        return set()
    # Only publications add rows, and one query for all partitions is cheaper than one per run.
    with_rows = {partition["run_id"] for partition in scores.partitions()}
    return {
        run for run in set(candidates) if run in with_rows or _is_published_without(scores, run)
    }


def _is_published_without(scores: DeltaTable, run_id: str) -> bool:
    """Whether a run is published that has no rows, because it needs none."""
    is_committed = attempts_of(scores, run_id) > withdrawn_attempt(scores, run_id)
    return is_committed and not _version(scores, rows_transaction(run_id))


def newest_first(scores: DeltaTable, nights: Mapping[str, date]) -> list[str]:
    """Runs in the order of their last commits to `chip_scores`, the newest first. Runs of earlier
    releases, which noted no place in this order, are the oldest, by their nights and ids.

    Args:
        nights: each run with its night.
    """

    def place(run_id: str) -> tuple[int, date, str]:
        return commit_version(scores, run_id) or 0, nights[run_id], run_id

    return sorted(nights, key=place, reverse=True)


def committed_at(table: DeltaTable, run_id: str) -> datetime | None:
    """When a run's rows were committed to this table; None if it has no rows there."""
    actions = pa.table(table.get_add_actions()).select(["partition", "modification_time"])
    times_ms = [
        action["modification_time"]
        for action in actions.to_pylist()
        if action["partition"]["run_id"] == run_id
    ]
    return datetime.fromtimestamp(max(times_ms) / 1000, UTC) if times_ms else None


def runs_since(table: DeltaTable, version: int) -> set[str]:
    """The runs that were committed to this table after one of its versions."""
    newer = table.version() - version
    entries = with_retries(lambda: table.history(newer)) if newer > 0 else []
    return {entry["run_id"] for entry in entries if "run_id" in entry}


def snapshot_of_attempt(table: DeltaTable, run_id: str, attempt: int) -> DeltaTable | None:
    """The newest snapshot without a later attempt at a run; None if the log does not go back that
    far.

    Raises:
        StorageError: the log cannot be read.
    """
    uri = table.table_uri
    try:
        for entry in with_retries(table.history):
            if entry.get("run_id") == run_id and entry["version"]:
                earlier = _open_at(uri, entry["version"] - 1)
                if attempts_of(earlier, run_id) <= attempt:
                    return earlier
    except DeltaError as error:
        if not is_temporary(error):
            return None
        raise table_error("open", uri, error) from error
    return None


def _version(table: DeltaTable | None, transaction: str) -> int:
    return transaction_version(table, transaction) or 0 if table else 0


def _open_at(uri: str, version: int) -> DeltaTable:
    return with_retries(
        lambda: DeltaTable(uri, version=version, storage_options=delta_options(uri))
    )


def run_transaction(run_id: str) -> str:
    return f"run:{run_id}"


def committed_transaction(run_id: str) -> str:
    return f"committed:{run_id}"


def rows_transaction(run_id: str) -> str:
    return f"rows:{run_id}"


def withdrawal_transaction(run_id: str) -> str:
    return f"withdrawn:{run_id}"
