"""The application transactions of a snapshot of a table, all of them from one look at its log.

delta-rs reads every commit since the last checkpoint again for each transaction that it is asked
for, and some questions ask for one of each run.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import pyarrow.parquet as pq
from deltalake import DeltaTable

from pipelines.storage import store

_COMMIT = re.compile(r"/(\d{20})\.json$")
_CHECKPOINT = re.compile(r"/(\d{20})\.checkpoint\.parquet$")
_KEPT = "transactions"
_READ_THREADS = 8
_COMMITS_KEPT, _CHECKPOINTS_KEPT = 256, 16  # in memory: these files never change


def transaction_version(table: DeltaTable, app_id: str) -> int | None:
    """The version of an application's last transaction in a snapshot, None if it has none. What
    was read is kept with the snapshot.

    Raises:
        StorageError: the log cannot be read.
    """
    version = table.version()
    if vars(table).get(_KEPT, (None,))[0] != version:
        vars(table)[_KEPT] = version, _read_all(table.table_uri, version)
    found: Mapping[str, int] | None = vars(table)[_KEPT][1]
    return table.transaction_version(app_id) if found is None else found.get(app_id)


def _read_all(table_uri: str, version: int) -> Mapping[str, int] | None:
    """Each application with the version of its last transaction; None if the log is kept in another
    way than delta-rs does it, in several checkpoints for example."""
    log = store.join_uri(store.absolute_uri(table_uri), "_delta_log")
    files = [
        (str(file["uri"]), str(file["etag"] or uuid.uuid4()))  # without an etag: read each time
        for part in store.list_objects(log)
        for file in part.select(["uri", "etag"]).to_pylist()
    ]
    commits, checkpoints = (
        {int(name[1]): (uri, etag) for uri, etag in files if (name := kind.search(uri))}
        for kind in (_COMMIT, _CHECKPOINT)
    )
    start = max((each for each in checkpoints if each <= version), default=-1)
    later = range(start + 1, version + 1)
    if not commits.keys() >= set(later):
        return None
    found = dict(_in_checkpoint(*checkpoints[start])) if start >= 0 else {}
    with ThreadPoolExecutor(_READ_THREADS) as pool:
        for transactions in pool.map(lambda number: _in_commit(*commits[number]), later):
            found |= transactions
    return found


@lru_cache(_CHECKPOINTS_KEPT)
def _in_checkpoint(uri: str, etag: str) -> Mapping[str, int]:
    with store.open_file(uri) as file:
        rows = pq.ParquetFile(file).read(["txn.appId", "txn.version"])
    found = rows["txn"].drop_null().to_pylist() if "txn" in rows.column_names else []
    return {each["appId"]: each["version"] for each in found}


@lru_cache(_COMMITS_KEPT)
def _in_commit(uri: str, etag: str) -> Mapping[str, int]:
    lines = store.read_bytes(uri).splitlines()
    found = [json.loads(line).get("txn") for line in lines if b'"txn"' in line]
    return {each["appId"]: each["version"] for each in found if each}
