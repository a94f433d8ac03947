"""Keep the tables quick to open: delete dead files, shorten the log.

Every commit here takes a turn among the publishers (`commits.next_turn`), so none of them is based
on files that were just replaced. Readers keep the files of their snapshot until these are vacuumed.
"""

from collections.abc import Iterable

from deltalake import CommitProperties, DeltaTable, Transaction

from pipelines.runs.staging_folders import staged_attempts
from pipelines.storage import store
from pipelines.tables import commits, delta_tables, publications
from pipelines.tables.commits import translate_commit_errors
from schemas.tables import RUNS

FULL_VACUUM_HOURS = 24
"""Files without a commit may belong to a running publisher: younger ones are not deleted."""


def clean_up(output: str, name: str, hours: int, preview: bool) -> int:
    """Delete files that are in no snapshot of the last hours, and log entries before the checkpoint
    that this writes, if they are over 30 days old; returns the number of files.

    With at least `FULL_VACUUM_HOURS`, files that a dead publisher left without a commit are
    deleted, too.

    Raises:
        RunFailed: every commit met with a conflict.
        StorageError: the table cannot be read, a file not deleted, or the log not written.
    """

    def delete() -> int:
        table = delta_tables.open_table(output, name)
        if table is None:
            return 0
        with translate_commit_errors("maintain", table, retries=True):
            dead = table.vacuum(
                retention_hours=hours,
                dry_run=preview,
                enforce_retention_duration=False,
                full=hours >= FULL_VACUUM_HOURS,
            )
        if not preview:
            with translate_commit_errors("maintain", table):
                table.create_checkpoint()
                table.cleanup_metadata()
        return len(dead)

    return commits.commit_in_turn(delete, f"delete dead files of {name}")


def drop_finished_staging(output: str, preview: bool) -> int:
    """Delete what published runs have left in staging, because their publishers died while they
    deleted it; returns the number of folders.

    Raises:
        StorageError: staging cannot be listed or deleted, or `runs` not read.
    """
    runs = delta_tables.open_table(output, RUNS.name)
    finished = [
        folder
        for folder, (run_id, attempt) in staged_attempts(output).items()
        if publications.attempts_of(runs, run_id) >= attempt
    ]
    for folder in finished if not preview else ():
        store.delete_folder(folder)
    return len(finished)


def in_turn(table: DeltaTable, what: str, more: Iterable[tuple[str, int]] = ()) -> CommitProperties:
    """Properties of a commit that takes its turn among the publishers.

    Args:
        more: further application transactions of the commit.
    """
    return CommitProperties(
        custom_metadata={"maintained": what},
        app_transactions=[Transaction(*each) for each in (commits.next_turn(table), *more)],
    )
