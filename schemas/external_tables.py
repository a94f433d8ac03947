"""BigQuery's tables and views over the Delta tables of an OUTPUT, as DDL (docs/bigquery.md).

There are two ways to read the same rows. With a connection BigQuery reads the Delta log itself.
Without one it reads lists of the files in the log: a wildcard would also find the files of runs
that are unpublished, withdrawn or replaced.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from schemas.statements import summary_of, without_header
from schemas.tables import COMMIT_ORDER, MODELS, SHOWN

DATASET = "forest_chips"
"""The dataset in the checked-in statements."""

_QUARANTINE, *_LATER = COMMIT_ORDER
_OF_A_RUN = (_QUARANTINE, MODELS, *_LATER)
_DERIVED = tuple(table for table in SHOWN if table not in _OF_A_RUN)
EXTERNAL_TABLES = {table.name: table.external_name for table in (*_OF_A_RUN, *_DERIVED)}
"""Delta table to external table: those of a run, in the order in which it is committed, and those
made from them. `all_quarantine` and `all_runs` also have rows of unpublished runs; the views
`quarantine` and `runs` leave them out."""

_LISTS_FOLDER = "_bigquery"


def list_path(table: str) -> str:
    """Path below OUTPUT of the list of a Delta table's files, one address per line."""
    return f"{_LISTS_FOLDER}/{table}.txt"


def empty_file_path(table: str) -> str:
    """Path below OUTPUT of a Parquet file without rows, for the list of a table without files."""
    return f"{_LISTS_FOLDER}/{table}.parquet"


def delta_table_ddl(table: str, output: str, connection: str, dataset: str = DATASET) -> str:
    """An external table that reads a Delta table's log.

    Args:
        table: the Delta table's name.
        output: `gs://` address of the folder with the Delta tables.
        connection: a BigLake connection as `PROJECT.REGION.NAME`.
        dataset: the dataset that the table is created in.
    """
    options = {"format": "DELTA_LAKE", "uris": [f"{output}/{table}"]}
    return (
        f"CREATE OR REPLACE EXTERNAL TABLE {dataset}.{EXTERNAL_TABLES[table]}\n"
        f"WITH CONNECTION `{connection}`\n{_options(options)};\n"
    )


def listed_table_ddl(
    table: str,
    columns: Mapping[str, str],
    partition_by: Sequence[str],
    output: str,
    dataset: str = DATASET,
) -> str:
    """An external table of the Parquet files in a list; this needs no connection.

    Args:
        table: the Delta table's name.
        columns: every column's name and BigQuery type.
        partition_by: the columns that are in the folder names, if there are any.
        output: `gs://` address of the folder with the Delta tables.
        dataset: the dataset that the table is created in.
    """
    in_files = {name: kind for name, kind in columns.items() if name not in partition_by}
    in_folders = {name: columns[name] for name in partition_by}
    options = {
        "format": "PARQUET",
        "file_set_spec_type": "NEW_LINE_DELIMITED_MANIFEST",
        "uris": [f"{output}/{list_path(table)}"],
        **({"hive_partition_uri_prefix": f"{output}/{table}"} if partition_by else {}),
        "enable_list_inference": True,
    }
    partitions = f"WITH PARTITION COLUMNS {_columns(in_folders)}\n" if partition_by else ""
    return (
        f"CREATE OR REPLACE EXTERNAL TABLE {dataset}.{EXTERNAL_TABLES[table]} "
        f"{_columns(in_files)}\n{partitions}{_options(options)};\n"
    )


def view_ddl(name: str, select: str, dataset: str = DATASET) -> str:
    """A view from a checked-in SELECT, with the first line of its comment as the description.

    Args:
        name: the view's name.
        select: its tables are in `DATASET`.
        dataset: the dataset of the view and of its tables.
    """
    text = in_dataset(without_header(select), dataset)
    options = _options({"description": summary_of(select)})
    return f"CREATE OR REPLACE VIEW {dataset}.{name}\n{options}\nAS\n{text.rstrip()};\n"


def in_dataset(select: str, dataset: str) -> str:
    """A checked-in SELECT with its tables in another dataset than `DATASET`."""
    return select.replace(f"{DATASET}.", f"{dataset}.")


def _columns(types: Mapping[str, str]) -> str:
    lines = ",\n".join(f"  {name} {kind}" for name, kind in types.items())
    return f"(\n{lines}\n)"


def _options(options: Mapping[str, object]) -> str:
    # JSON's strings, lists and booleans are also BigQuery's literals.
    lines = ",\n".join(
        f"  {name} = {json.dumps(value, ensure_ascii=False)}" for name, value in options.items()
    )
    return f"OPTIONS (\n{lines}\n)"
