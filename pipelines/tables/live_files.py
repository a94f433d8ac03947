"""The files of a snapshot of a table, as its log lists them: of which run each is, and its size.

Files that are left out are not listed, as if they were not in the table: a damaged file costs the
rows in it, and no others (`pipelines.tables.damage`).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
from deltalake import DeltaTable

from pipelines.storage.store import absolute_uri

_left_out: dict[str, set[str]] = {}


class PublishedFile(NamedTuple):
    """A file of a snapshot of a table, with its path relative to the table's root. Night and run
    are "" in a table without partitions."""

    run_date: str
    run_id: str
    path: str
    size_bytes: int
    rows: int


def data_files(table: DeltaTable, with_left_out: bool = False) -> list[PublishedFile]:
    """The files of a snapshot, by night, run and path.

    Args:
        with_left_out: also list those that are left out.
    """
    return sorted(
        PublishedFile(*_night_and_run(partition), *file)
        for partition, *file in added(table, ["path", "size_bytes", "num_records"], with_left_out)
    )


def leave_out(table: DeltaTable, path: str) -> None:
    """Let this process read a table as if one of its files were not there."""
    _left_out.setdefault(absolute_uri(table.table_uri), set()).add(path)


def left_out(table: DeltaTable) -> list[PublishedFile]:
    """The files of a snapshot that are left out."""
    paths = _left_out.get(absolute_uri(table.table_uri), set())
    return [file for file in data_files(table, with_left_out=True) if file.path in paths]


def any_left_out() -> bool:
    """Whether this process leaves out files of any table."""
    return bool(_left_out)


def leave_out_none() -> None:
    """Let this process read all files again."""
    _left_out.clear()


def added(
    table: DeltaTable, names: Sequence[str], with_left_out: bool = False
) -> Iterator[tuple[Any, ...]]:
    """The partition and some facts of each file, by their names in delta-rs' actions; the partition
    has no columns in a table without partitions."""
    actions = pa.table(table.get_add_actions())
    columns = [name for name in ("partition", *names) if name in actions.column_names]
    if "path" not in columns:
        columns.append("path")
    hidden = set() if with_left_out else _left_out.get(absolute_uri(table.table_uri), set())
    for action in actions.select(columns).to_pylist():
        if action["path"] not in hidden:
            yield action.get("partition") or {}, *(action[name] for name in names)


def _night_and_run(partition: Mapping[str, Any]) -> tuple[str, str]:
    return (str(partition["run_date"]), partition["run_id"]) if partition else ("", "")
