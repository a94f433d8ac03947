"""What a commit names is on the disk before it, and the commit itself before staging is deleted."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pipelines.errors import StorageError
from pipelines.publishing.publishing import publish_run
from pipelines.storage import store
from pipelines.tables import commits, durability
from pipelines.tables.delta_tables import open_table
from pipelines.tables.live_files import data_files
from tests.support.staged_runs import empty_tables, make_plan, stage


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is synced, committed and deleted, in this order."""
    done: list[str] = []
    sync, delete = os.fsync, store.delete_folder

    def fsync(handle: int) -> None:
        done.append(os.readlink(f"/proc/self/fd/{handle}"))
        sync(handle)

    def delete_folder(uri: str) -> None:
        done.append(f"delete {uri}")
        delete(uri)

    create = commits.DeltaTable.create_write_transaction

    def create_write_transaction(table: commits.DeltaTable, files: list, **more: object) -> None:
        done.append(f"commit {Path(table.table_uri).name}")
        create(table, files, **more)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(store, "delete_folder", delete_folder)
    monkeypatch.setattr(commits.DeltaTable, "create_write_transaction", create_write_transaction)
    return done


def test_files_and_folders_are_on_the_disk_before_their_commit_and_the_log_before_staging_goes(
    tmp_path: Path, steps: list[str]
) -> None:
    output = empty_tables(tmp_path)
    plan = make_plan(output)
    staged = stage(plan)
    steps.clear()
    publish_run(plan, staged)
    deleted = steps.index(f"delete {plan.staging}")
    for name in ("quarantine", "chip_scores", "runs"):
        root = Path(output, name)
        committed = steps.index(f"commit {name}")
        table = open_table(output, name)
        assert table is not None
        files = [root / file.path for file in data_files(table)]
        assert files
        folders = {root, *(file.parent for file in files), *(file.parents[1] for file in files)}
        assert {str(path) for path in (*files, *folders)} <= set(steps[:committed])
        log = root / "_delta_log"
        entry = log / f"{table.version():020}.json"
        assert {str(entry), str(log)} <= set(steps[committed:deleted])


def test_what_a_disk_cannot_keep_is_not_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = empty_tables(tmp_path)
    plan = make_plan(output)
    staged = stage(plan)

    def fail(handle: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(StorageError, match=r"cannot sync '.*': Input/output error"):
            publish_run(plan, staged)
    table = open_table(output, "chip_scores")
    assert table is not None
    assert data_files(table) == []
    publish_run(plan, staged)


def test_a_file_system_that_does_not_sync_folders_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, sync = empty_tables(tmp_path), os.fsync

    def files_only(handle: int) -> None:
        if os.path.isdir(os.readlink(f"/proc/self/fd/{handle}")):
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(handle)

    monkeypatch.setattr(os, "fsync", files_only)
    plan = make_plan(output)
    publish_run(plan, stage(plan))


def test_objects_are_not_synced(s3_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durability, "_sync", pytest.fail)
    output = empty_tables(s3_uri)
    plan = make_plan(output)
    publish_run(plan, stage(plan))
