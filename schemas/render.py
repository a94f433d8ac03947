"""The tables as schemas of Arrow, Delta Lake and BigQuery, and as SQL.

`python -m schemas.render` writes the files checked in under `schemas/sql` and `schemas/bigquery`,
for the Planet label set; a test checks that they are up to date. The views and questions for
BigQuery are translated from those for DuckDB.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from schemas.dialects import to_bigquery
from schemas.external_tables import DATASET, EXTERNAL_TABLES, delta_table_ddl, listed_table_ddl
from schemas.labels import PLANET_LABELS
from schemas.statements import header_of, statements
from schemas.table import Column, ColumnType, Table
from schemas.tables import TABLES


class _Types(NamedTuple):
    arrow: pa.DataType
    duckdb: str
    bigquery: str


# Delta and Parquet both call a list's items "element"; Arrow alone says "item".
_TEXTS = pa.list_(pa.field("element", pa.string()))
_EDGES = ("xmin", "ymin", "xmax", "ymax")
_TYPES: dict[ColumnType, _Types] = {
    "string": _Types(pa.string(), "VARCHAR", "STRING"),
    "bool": _Types(pa.bool_(), "BOOLEAN", "BOOL"),
    "int64": _Types(pa.int64(), "BIGINT", "INT64"),
    "float32": _Types(pa.float32(), "FLOAT", "FLOAT64"),
    "float64": _Types(pa.float64(), "DOUBLE", "FLOAT64"),
    "date": _Types(pa.date32(), "DATE", "DATE"),
    "timestamp": _Types(pa.timestamp("us", tz="UTC"), "TIMESTAMP WITH TIME ZONE", "TIMESTAMP"),
    "list<string>": _Types(_TEXTS, "VARCHAR[]", "ARRAY<STRING>"),
    "wkb": _Types(pa.binary(), "BLOB", "BYTES"),
    "bbox": _Types(
        pa.struct([(edge, pa.float64()) for edge in _EDGES]),
        f"STRUCT({', '.join(f'{edge} DOUBLE' for edge in _EDGES)})",
        f"STRUCT<{', '.join(f'{edge} FLOAT64' for edge in _EDGES)}>",
    ),
}


def arrow_schema(table: Table) -> pa.Schema:
    """The table's Arrow schema, partition columns included.

    Field metadata: `description`, and `unit` and `label` if the column has them. Schema
    metadata: `table`, `table_version`, `description`. A required column is not nullable, so
    writing a null into it fails at once.
    """
    return _schema(table, table.columns, "description")


@cache
def file_schema(table: Table) -> pa.Schema:
    """The Arrow schema of the table's Parquet files: without the partition columns."""
    return _schema(table, table.file_columns, "description")


def delta_schema(table: Table) -> pa.Schema:
    """The Arrow schema that a Delta table is created with.

    The field metadata `comment`, which Delta's readers show, has the description with the unit;
    `unit` and `label` are next to it.
    """
    return _schema(table, table.columns, "comment")


def label_columns(schema: pa.Schema) -> dict[str, str]:
    """Each label and the column of its scores, in label order, by the columns' metadata."""
    labels = {field.name: (field.metadata or {}).get(b"label") for field in schema}
    return {label.decode(): name for name, label in labels.items() if label}


def bigquery_fields(table: Table) -> list[dict[str, Any]]:
    """The table's schema as BigQuery's JSON: name, type, mode, description.

    A list is a REPEATED field, a struct a RECORD; BigQuery has no 32-bit floats.
    """
    return [
        {
            "name": column.name,
            "type": _bigquery_type(column),
            "mode": _bigquery_mode(column),
            "description": text_with_unit(column),
            **_bigquery_parts(column),
        }
        for column in table.columns
    ]


def duckdb_ddl(table: Table) -> str:
    """`CREATE TABLE` with a comment on the table and on every column, for DuckDB."""
    columns = ",\n".join(f"    {_duckdb_column(column)}" for column in table.columns)
    comments = [f"COMMENT ON TABLE {table.name} IS {_duckdb_text(table.description)};"]
    comments += [
        f"COMMENT ON COLUMN {table.name}.{column.name} IS {_duckdb_text(text_with_unit(column))};"
        for column in table.columns
    ]
    return f"CREATE TABLE {table.name} (\n{columns}\n);\n" + "\n".join(comments) + "\n"


def bigquery_ddl(table: Table) -> str:
    """`CREATE TABLE` with descriptions, partitioned and clustered, for BigQuery."""
    columns = ",\n".join(f"  {_bigquery_column(column)}" for column in table.columns)
    lines = [f"CREATE TABLE {table.name} (\n{columns}\n)", *_bigquery_layout(table)]
    lines.append(f"OPTIONS (description = {_bigquery_text(table.description)});")
    return "\n".join(lines) + "\n"


def bigquery_columns(schema: pa.Schema) -> dict[str, str]:
    """Each column's name and BigQuery type. Columns of types that no table has are left out: only a
    later release knows them."""
    names = {types.arrow: types.bigquery for types in _TYPES.values()}
    return {field.name: names[field.type] for field in schema if field.type in names}


def text_with_unit(column: Column) -> str:
    """A column's description with its unit, for formats without a field for units."""
    return f"{column.description} Unit: {column.unit}." if column.unit else column.description


def rendered_files() -> dict[str, str]:
    """Every rendering that is checked in: path below `schemas/` to content."""
    files: dict[str, str] = {}
    for table in (table.for_labels(PLANET_LABELS) for table in TABLES):
        fields = json.dumps(bigquery_fields(table), indent=2, ensure_ascii=False)
        files[f"bigquery/{table.name}.json"] = fields + "\n"
        files[f"sql/bigquery/{table.name}.sql"] = _sql_header(table) + bigquery_ddl(table)
        files[f"sql/duckdb/{table.name}.sql"] = _sql_header(table) + duckdb_ddl(table)
        if table.external_name:
            files |= _external_tables(table)
    return files | _bigquery_selects()


def write_rendered_files(folder: Path) -> None:
    """Write `rendered_files` below a folder, over existing files."""
    for name, content in rendered_files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def _external_tables(table: Table) -> dict[str, str]:
    output, connection = "gs://BUCKET/OUTPUT", "PROJECT.REGION.CONNECTION"
    columns = bigquery_columns(arrow_schema(table))
    texts = {
        "delta": delta_table_ddl(table.name, output, connection),
        "listed": listed_table_ddl(table.name, columns, table.partition_by, output),
    }
    header = _sql_header(table)
    return {f"sql/bigquery/{way}/{table.name}.sql": header + texts[way] for way in texts}


def _bigquery_selects() -> dict[str, str]:
    """Views and questions; those in `published` are views that only BigQuery needs."""
    selects = {folder: statements(folder) for folder in ("published", "views", "questions")}
    relations = {*EXTERNAL_TABLES.values(), *selects["published"], *selects["views"]}
    files: dict[str, str] = {}
    for folder, texts in selects.items():
        for name, sql in texts.items():
            path = f"{folder}/{name}.sql"
            header = f"{header_of(sql)}-- Made from sql/{path} by: python -m schemas.render\n"
            files[f"sql/bigquery/{path}"] = f"{header}{to_bigquery(sql, DATASET, relations)}\n"
    return files


def _schema(table: Table, columns: Iterable[Column], description_key: str) -> pa.Schema:
    fields = [_arrow_field(column, description_key) for column in columns]
    metadata = {
        "table": table.name,
        "table_version": str(table.version),
        "description": table.description,
    }
    return pa.schema(fields, metadata=metadata)


def _arrow_field(column: Column, description_key: str) -> pa.Field:
    text = text_with_unit(column) if description_key == "comment" else column.description
    facts = {description_key: text, "unit": column.unit, "label": column.label}
    metadata = {key: value for key, value in facts.items() if value}
    return pa.field(
        column.name, _TYPES[column.type].arrow, nullable=not column.required, metadata=metadata
    )


def _duckdb_column(column: Column) -> str:
    required = " NOT NULL" if column.required else ""
    return f"{column.name} {_TYPES[column.type].duckdb}{required}"


def _duckdb_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _bigquery_column(column: Column) -> str:
    # An array is never null in BigQuery, and may not be declared so.
    required = " NOT NULL" if _bigquery_mode(column) == "REQUIRED" else ""
    options = f"OPTIONS (description = {_bigquery_text(text_with_unit(column))})"
    return f"{column.name} {_TYPES[column.type].bigquery}{required} {options}"


def _bigquery_type(column: Column) -> str:
    if column.type == "bbox":
        return "RECORD"
    return _TYPES[column.type].bigquery.removeprefix("ARRAY<").removesuffix(">")


def _bigquery_parts(column: Column) -> dict[str, Any]:
    """The fields of a struct."""
    if column.type != "bbox":
        return {}
    return {"fields": [{"name": edge, "type": "FLOAT64", "mode": "NULLABLE"} for edge in _EDGES]}


def _bigquery_mode(column: Column) -> str:
    if column.type == "list<string>":
        return "REPEATED"
    return "REQUIRED" if column.required else "NULLABLE"


def _bigquery_layout(table: Table) -> list[str]:
    """BigQuery partitions by one column, which must be a date here, and clusters by the others."""
    if not table.partition_by:
        return []
    first, *others = table.partition_by
    return [f"PARTITION BY {first}", *([f"CLUSTER BY {', '.join(others)}"] if others else [])]


def _bigquery_text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _sql_header(table: Table) -> str:
    return f"-- Table {table.name}, version {table.version}. Written by: python -m schemas.render\n"


if __name__ == "__main__":
    write_rendered_files(Path(__file__).parent)
