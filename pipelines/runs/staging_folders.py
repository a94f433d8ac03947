"""The staging folders below an OUTPUT: of which runs they are, and those of dead runs deleted."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

from pipelines.errors import StorageError
from pipelines.runs.run_plan import STAGING_FOLDER
from pipelines.storage import store

_UNKNOWN_TIME = datetime.max.replace(tzinfo=UTC)  # such a file is kept
_log = logging.getLogger(__name__)


def drop_old(output: str, older_than: datetime, keep: str) -> None:
    """Delete the staging folders of dead runs: those without a file newer than `older_than`.

    Args:
        output: address of the tables, which has the staging folders too.
        keep: a staging folder that is kept, however old.
    """
    root = store.join_uri(output, STAGING_FOLDER)
    try:
        for folder, written_at in _last_written(root).items():
            if folder != keep and written_at < older_than:
                store.delete_folder(folder)
    except StorageError as error:  # no reason to stop tonight's run
        _log.warning("old staging folders stay: %s", error)


def staged_attempts(output: str) -> dict[str, tuple[str, int]]:
    """The staging folders below an OUTPUT, each with its run and the number of the attempt.

    Raises:
        StorageError: they cannot be listed.
    """
    root = store.join_uri(output, STAGING_FOLDER)
    if not store.is_remote(root) and not Path(root).is_dir():
        return {}
    found = {}
    for folder in _last_written(root):
        run_id, _, attempt = folder.rpartition("/")[2].rpartition(".")
        if attempt.isdigit():
            found[folder] = run_id, int(attempt)
    return found


def _last_written(root: str) -> dict[str, datetime]:
    newest: dict[str, datetime] = {}
    for table in store.list_objects(root):
        for row in table.select(["uri", "modified_at"]).to_pylist():
            folder = store.join_uri(root, row["uri"][len(root) + 1 :].partition("/")[0])
            modified_at = row["modified_at"] or _UNKNOWN_TIME
            newest[folder] = max(modified_at, newest.get(folder, modified_at))
    return newest
