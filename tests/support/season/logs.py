"""Delta tables from the bytes of a bucket, without delta-rs: an oracle for what is published."""

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import pyarrow.parquet as pq

from tests.support.season.objects import Object

_ENTRY = re.compile(r"(\d{20})\.json")
_CHECKPOINT = re.compile(r"(\d{20})\.checkpoint\.parquet")
Row = dict[str, Any]


@dataclass
class Log:
    """A table after the last entry of its log.

    Attributes:
        files: the action that added each file, by path.
        removed: files that were in the table before.
    """

    files: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)

    def apply(self, action: Mapping[str, Any]) -> None:
        """One line of an entry, or one row of a checkpoint."""
        if add := action.get("add"):
            self.files[unquote(add["path"])] = add
        if remove := action.get("remove"):
            self.files.pop(unquote(remove["path"]), None)
            self.removed.add(unquote(remove["path"]))


def read_log(objects: Mapping[str, Object], folder: str) -> Log:
    """The table in a folder."""
    names = {
        key.removeprefix(f"{folder}/_delta_log/"): each.data
        for key, each in objects.items()
        if key.startswith(f"{folder}/_delta_log/")
    }
    log, start = Log(), -1
    checkpoints = {int(found[1]): name for name in names if (found := _CHECKPOINT.fullmatch(name))}
    if checkpoints:
        start = max(checkpoints)
        for row in pq.read_table(io.BytesIO(names[checkpoints[start]])).to_pylist():
            log.apply(row)
    entries = {int(found[1]): name for name in names if (found := _ENTRY.fullmatch(name))}
    for version in sorted(version for version in entries if version > start):
        for line in names[entries[version]].splitlines():
            log.apply(json.loads(line))
    return log


def rows_of(objects: Mapping[str, Object], folder: str) -> list[Row]:
    """The rows of a table; each file must have the size and the rows that its log says."""
    rows: list[Row] = []
    for path, add in read_log(objects, folder).files.items():
        data = objects[f"{folder}/{path}"].data
        assert len(data) == add["size"], f"{path} has {len(data)} bytes, not {add['size']}"
        found = _rows_in(data)
        expected = json.loads(add["stats"])["numRecords"]
        assert len(found) == expected, f"{path} has {len(found)} rows, not {expected}"
        rows += [{**row, **dict(add["partitionValues"])} for row in found]
    return rows


@lru_cache(maxsize=5000)
def _rows_in(data: bytes) -> list[Row]:
    """The rows of a file, once for all nights in which it is there."""
    found: list[Row] = pq.read_table(io.BytesIO(data)).to_pylist()
    return found


def tables_below(objects: Mapping[str, Object], output: str = "out") -> list[str]:
    """The folders of all tables."""
    return sorted({key.partition("/_delta_log/")[0] for key in objects if "/_delta_log/" in key})


def orphans(objects: Mapping[str, Object]) -> list[str]:
    """Objects below the tables that neither are in one nor were, and everything in staging."""
    found = [key for key in objects if "/_staging/" in key]
    for folder in tables_below(objects):
        log = read_log(objects, folder)
        known = {*log.files, *log.removed}
        for key in objects:
            path = key.removeprefix(f"{folder}/")
            if path != key and not path.startswith("_delta_log/") and path not in known:
                found.append(key)
    return found
