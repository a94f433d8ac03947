"""Staging of dead runs is deleted after some days, and that of others is kept."""

import os
import time
from datetime import UTC, datetime, timedelta

from pipelines.runs.staging_folders import drop_old
from pipelines.storage import store


def test_staging_without_new_files_for_days_is_deleted(tmp_path):
    for name, days in (("old.1", 8), ("young.1", 6), ("mine.2", 30)):
        for part in ("plan.json", "units/000000.json"):
            path = tmp_path / "_staging" / name / part
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}")
            then = time.time() - days * 86_400
            os.utime(path, (then, then))
    alive = tmp_path / "_staging" / "alive.1"
    (alive / "units").mkdir(parents=True)
    (alive / "plan.json").write_text("{}")
    os.utime(alive / "plan.json", (0, 0))
    (alive / "units" / "000001.json").write_text("{}")

    week = datetime.now(UTC) - timedelta(days=7)
    drop_old(str(tmp_path), week, keep=str(tmp_path / "_staging" / "mine.2"))
    left = sorted(path.name for path in (tmp_path / "_staging").iterdir())
    assert left == ["alive.1", "mine.2", "young.1"]


def test_old_staging_is_deleted_from_object_stores_too(object_store_uri):
    drop_old(object_store_uri, datetime.now(UTC), keep="")
    for name in ("dead.1", "mine.1"):
        store.write_bytes(f"{object_store_uri}/_staging/{name}/plan.json", b"{}")
    later = datetime.now(UTC) + timedelta(minutes=1)
    drop_old(object_store_uri, later, keep=f"{object_store_uri}/_staging/mine.1")
    assert planned(object_store_uri) == [f"{object_store_uri}/_staging/mine.1/plan.json"]


def planned(output: str) -> list[str]:
    listing = store.list_objects(f"{output}/_staging")
    return [uri for table in listing for uri in table["uri"].to_pylist()]
