"""Print the SQL that shows the tables in BigQuery, as external tables and views (docs/bigquery.md).

With `--connection` (a BigLake connection) BigQuery reads the Delta tables themselves. Without one
it can read their Parquet files: `--file_lists` writes lists of the files with the published rows
below OUTPUT/_bigquery, and prints the SQL over these lists. Write them again after each night.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
from deltalake import DeltaTable

from beam_jobs.options.store_options import OUTPUT
from pipelines.commands import CommandLine, run_command
from pipelines.errors import UsageError
from pipelines.flags import common_flag, flag
from pipelines.printing import write_answer
from pipelines.storage import store
from pipelines.storage.store_flags import StoreOptions
from pipelines.tables import delta_tables, evolution
from pipelines.tables.parquet_files import parquet_bytes
from schemas.external_tables import (
    DATASET,
    EXTERNAL_TABLES,
    delta_table_ddl,
    empty_file_path,
    in_dataset,
    list_path,
    listed_table_ddl,
    view_ddl,
)
from schemas.label_sql import bigquery_text, for_labels
from schemas.render import bigquery_columns, file_schema, label_columns
from schemas.statements import statements
from schemas.tables import CHIP_SCORES, READ_ORDER, TABLES_BY_NAME

_CONNECTION = re.compile(r"[\w.:-]+\.[a-z0-9-]+\.[\w-]+")
_QUESTIONS = statements("bigquery/questions")
_DATASET = re.compile(r"\w{1,1024}", re.ASCII)


def _connection(text: str) -> str:
    if not _CONNECTION.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r}: give PROJECT.REGION.NAME")
    return text


def _dataset(text: str) -> str:
    if not _DATASET.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r}: use letters, digits and '_'")
    return text


@dataclass(frozen=True, kw_only=True)
class BigQueryOptions(StoreOptions):
    """The options of the command."""

    output: str = OUTPUT()
    connection: str = common_flag(
        "Read the Delta tables through this BigLake connection.",
        _connection,
        metavar="PROJECT.REGION.NAME",
        default="",
    )
    file_lists: bool = common_flag("Write lists of the files, and read these.", default=False)
    question: str = common_flag(
        "Print the SQL of this question of beam_jobs.query instead, for the labels of OUTPUT.",
        choices=tuple(_QUESTIONS),
        default="",
    )
    dataset: str = flag(
        "The dataset of the tables and views.", _dataset, metavar="NAME", default=DATASET
    )


LINE = CommandLine(
    "beam_jobs.bigquery",
    BigQueryOptions,
    __doc__ or "",
    epilog="""examples:
  python -m beam_jobs.bigquery --output gs://bucket/forest --connection my-project.eu.forest \\
    | bq query --use_legacy_sql=false
  python -m beam_jobs.bigquery --output gs://bucket/forest --file_lists > forest.sql
""",
)


def main(arguments: Sequence[str]) -> int:
    """Print the DDL, after writing the lists that it needs.

    Raises:
        UsageError: OUTPUT is not on `gs://` or has no tables; a name that BigQuery cannot have.
        StorageError: the tables cannot be read or the lists cannot be written.
    """
    options = LINE.parse(arguments)
    store.configure(options.stores)
    if bool(options.connection) + options.file_lists + bool(options.question) != 1:
        raise UsageError("give either --connection or --file_lists, or --question")
    output = options.output
    if store.scheme_of(output) != "gs":
        raise UsageError(f"BigQuery reads gs:// only, not {output!r}")
    if options.question:
        labels = _labels(_published(output)[CHIP_SCORES.name])
        write_answer(in_dataset(_fitted(_QUESTIONS[options.question], labels), options.dataset))
        return 0
    tables = open_tables(output)
    labels = _labels(tables[CHIP_SCORES.name])
    if options.file_lists:
        write_file_lists(output, tables)
        external = list(_listed(output, tables, options.dataset))
    else:
        external = [
            delta_table_ddl(name, output, options.connection, options.dataset) for name in tables
        ]
    write_answer("\n".join([*external, *_views(options.dataset, labels)]))
    return 0


def open_tables(output: str) -> dict[str, DeltaTable]:
    """The newest snapshot of each table, in the order in which a run is committed. The views need
    this release's columns: they are added to tables of an earlier one.

    Raises:
        UsageError: nothing is published yet, or the tables cannot have these columns.
        StorageError: one cannot be read, or lacks columns and cannot be written.
    """
    _published(output)
    return {name: evolution.ensure_table(output, TABLES_BY_NAME[name]) for name in EXTERNAL_TABLES}


def _published(output: str) -> dict[str, DeltaTable]:
    """The tables of published runs, as they are."""
    found = {table.name: delta_tables.open_table(output, table.name) for table in READ_ORDER}
    if missing := [name for name, table in found.items() if table is None]:
        raise UsageError(
            f"{output!r} has no table {' or '.join(missing)} yet: publish a run there first"
        )
    return {name: table for name, table in found.items() if table is not None}


def _labels(scores: DeltaTable) -> dict[str, str]:
    return label_columns(pa.schema(scores.schema().to_arrow()))


def write_file_lists(output: str, tables: dict[str, DeltaTable]) -> None:
    """Write each table's list of the files in its snapshot, one absolute address per line.

    Raises:
        StorageError: a list cannot be written.
    """
    for name, table in tables.items():
        paths = sorted(pa.table(table.get_add_actions())["path"].to_pylist())
        addresses = [store.join_uri(output, name, path) for path in paths]
        if not addresses and not table.metadata().partition_columns:
            addresses = [_write_empty_file(output, name)]
        lines = "".join(f"{address}\n" for address in addresses)
        store.write_bytes(store.join_uri(output, list_path(name)), lines.encode())


def _write_empty_file(output: str, name: str) -> str:
    """A Parquet file without rows; returns its address. A query over an empty list would fail, and
    `places` has no file before the first `update_places`."""
    address = store.join_uri(output, empty_file_path(name))
    empty = file_schema(TABLES_BY_NAME[name]).empty_table()
    store.write_bytes(address, parquet_bytes(empty))
    return address


def _listed(output: str, tables: dict[str, DeltaTable], dataset: str) -> Iterator[str]:
    for name, table in tables.items():
        columns = bigquery_columns(pa.schema(table.schema().to_arrow()))
        partition_by = table.metadata().partition_columns
        yield listed_table_ddl(name, columns, partition_by, output, dataset)


def _fitted(sql: str, labels: Mapping[str, str]) -> str:
    return for_labels(sql, labels, bigquery_text)


def _views(dataset: str, labels: Mapping[str, str]) -> Iterator[str]:
    for folder in ("published", "views"):  # the latter use the former
        for name, select in statements(f"bigquery/{folder}").items():
            yield view_ddl(name, _fitted(select, labels), dataset)


if __name__ == "__main__":
    run_command(main)
