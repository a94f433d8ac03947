from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

import schemas
from schemas.labels import PLANET_LABELS, LabelSet
from schemas.render import (
    arrow_schema,
    bigquery_ddl,
    bigquery_fields,
    delta_schema,
    duckdb_ddl,
    file_schema,
    rendered_files,
    text_with_unit,
    write_rendered_files,
)
from schemas.table import Column, Table
from schemas.tables import CHIP_MANIFEST, RUNS, TABLES, chip_scores

AWKWARD = LabelSet(("mobile-home", "king's road", 'a "quoted" one', "C:\\tmp", "two\nlines", "été"))
SCORES = chip_scores(PLANET_LABELS)
EACH_TABLE = [*(table.for_labels(PLANET_LABELS) for table in TABLES), chip_scores(AWKWARD)]
IDS = [*(table.name for table in TABLES), "awkward_labels"]
SCHEMAS_FOLDER = Path(schemas.__file__).parent

each_table = pytest.mark.parametrize("table", EACH_TABLE, ids=IDS)


def test_the_checked_in_files_are_what_the_tables_say_now() -> None:
    """If this fails: `python -m schemas.render`."""
    folders = [SCHEMAS_FOLDER / name for name in ("bigquery", "sql/bigquery", "sql/duckdb")]
    paths = [path for folder in folders for path in folder.rglob("*.*")]
    checked_in = {str(p.relative_to(SCHEMAS_FOLDER)): p.read_text("utf-8") for p in paths}
    assert checked_in == rendered_files()


def test_write_rendered_files_writes_each_file_to_its_path(tmp_path: Path) -> None:
    write_rendered_files(tmp_path)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {str(p.relative_to(tmp_path)): p.read_text("utf-8") for p in written} == rendered_files()


@each_table
def test_arrow_has_every_column_in_order_with_its_facts(table: Table) -> None:
    schema = arrow_schema(table)
    assert schema.names == list(table.column_names)
    for field, column in zip(schema, table.columns, strict=True):
        facts = {"description": column.description, "unit": column.unit, "label": column.label}
        expected = {key.encode(): value.encode() for key, value in facts.items() if value}
        assert field.metadata == expected
        assert field.nullable == (not column.required)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("chip_uri", pa.string()),
        ("size_bytes", pa.int64()),
        ("lon_min", pa.float64()),
        ("score_road", pa.float32()),
        ("observed_at", pa.timestamp("us", tz="UTC")),
        ("run_date", pa.date32()),
        ("labels", pa.list_(pa.field("element", pa.string()))),
        ("geometry", pa.binary()),
        ("bbox", pa.struct([(edge, pa.float64()) for edge in ("xmin", "ymin", "xmax", "ymax")])),
    ],
)
def test_each_column_type_has_its_arrow_type(name: str, kind: pa.DataType) -> None:
    assert arrow_schema(SCORES).field(name).type == kind


def test_the_schema_names_its_table_and_version() -> None:
    assert arrow_schema(RUNS).metadata == {
        b"table": b"runs",
        b"table_version": b"5",
        b"description": RUNS.description.encode(),
    }


@each_table
def test_files_have_no_partition_columns(table: Table) -> None:
    assert file_schema(table).names == [c.name for c in table.file_columns]
    assert not set(file_schema(table).names) & set(table.partition_by)


def test_a_parquet_file_carries_the_descriptions(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(file_schema(SCORES).empty_table(), path)
    assert pq.read_schema(path).equals(file_schema(SCORES), check_metadata=True)


def test_a_null_in_a_required_column_cannot_be_written(tmp_path: Path) -> None:
    columns = (Column("a", "string", "A.", required=True),)
    table = Table("t", "A table.", 1, columns)
    rows = pa.Table.from_pylist([{"a": None}], schema=file_schema(table))
    with pytest.raises(pa.ArrowInvalid, match="non-nullable"):
        pq.write_table(rows, tmp_path / "rows.parquet")


@each_table
def test_a_delta_table_keeps_types_comments_and_labels(table: Table, tmp_path: Path) -> None:
    delta = DeltaTable.create(
        tmp_path, schema=delta_schema(table), partition_by=list(table.partition_by)
    )
    schema = pa.schema(delta.schema().to_arrow())
    assert schema.equals(arrow_schema(table))
    for field, column in zip(schema, table.columns, strict=True):
        assert field.metadata[b"comment"].decode() == text_with_unit(column)
        assert field.metadata.get(b"label", b"").decode() == column.label
    # Newer features of the format would exclude readers.
    assert (delta.protocol().min_reader_version, delta.protocol().min_writer_version) == (1, 2)


@each_table
def test_the_duckdb_ddl_makes_the_table_with_its_comments(table: Table) -> None:
    connection = duckdb.connect()
    connection.execute(duckdb_ddl(table))
    columns = connection.execute(
        "SELECT column_name, is_nullable, comment FROM duckdb_columns() "
        "WHERE NOT internal ORDER BY column_index"
    ).fetchall()
    assert columns == [(c.name, not c.required, text_with_unit(c)) for c in table.columns]
    comments = connection.execute("SELECT table_name, comment FROM duckdb_tables()").fetchall()
    assert comments == [(table.name, table.description)]


@each_table
def test_duckdb_reads_arrow_rows_as_the_types_of_its_ddl(table: Table) -> None:
    connection = duckdb.connect()
    connection.execute(duckdb_ddl(table))
    connection.register("rows_of_arrow", arrow_schema(table).empty_table())
    described = "SELECT column_name, column_type FROM (DESCRIBE {})"
    by_arrow = connection.execute(described.format("rows_of_arrow")).fetchall()
    assert connection.execute(described.format(table.name)).fetchall() == by_arrow


@each_table
def test_bigquery_takes_names_descriptions_and_modes(table: Table) -> None:
    """Its limits: 300 letters for a name, 1,024 for the description of a column."""
    fields = bigquery_fields(table)
    assert [field["name"] for field in fields] == list(table.column_names)
    for field, column in zip(fields, table.columns, strict=True):
        assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,299}", field["name"])
        assert 0 < len(field["description"]) <= 1024
        assert field["mode"] in {"REQUIRED" if column.required else "NULLABLE", "REPEATED"}


def test_a_list_is_a_repeated_bigquery_field() -> None:
    fields = {field["name"]: field for field in bigquery_fields(SCORES)}
    assert (fields["labels"]["type"], fields["labels"]["mode"]) == ("STRING", "REPEATED")
    assert "labels ARRAY<STRING> OPTIONS" in bigquery_ddl(SCORES)


@each_table
def test_the_bigquery_ddl_says_the_same_as_the_json(table: Table) -> None:
    line = r'^  (\w+) (.+?)( NOT NULL)? OPTIONS \(description = (".*")\),?$'
    found = re.findall(line, bigquery_ddl(table), re.MULTILINE)
    columns = [
        {
            "name": name,
            "type": "RECORD" if fields else kind.removeprefix("ARRAY<").removesuffix(">"),
            "mode": "REPEATED" if kind[:5] == "ARRAY" else "REQUIRED" if required else "NULLABLE",
            "description": json.loads(text),
            **({"fields": fields} if fields else {}),
        }
        for name, kind, required, text in found
        for fields in [_fields_of(kind)]
    ]
    assert columns == bigquery_fields(table)


def _fields_of(kind: str) -> list[dict[str, str]]:
    """The nullable fields of a struct's type."""
    pairs = re.findall(r"(\w+) (\w+)", kind.removeprefix("STRUCT<"))
    return [{"name": name, "type": of, "mode": "NULLABLE"} for name, of in pairs]


def test_bigquery_partitions_by_night_and_clusters_by_run() -> None:
    assert "\nPARTITION BY run_date\nCLUSTER BY run_id\n" in bigquery_ddl(RUNS)
    assert "PARTITION BY" not in bigquery_ddl(CHIP_MANIFEST)


def test_the_schemas_need_no_deltalake_and_no_sqlglot() -> None:
    """Trainer and workers import them too."""
    code = (
        "import schemas.render, sys; "
        "print({'deltalake', 'duckdb', 'apache_beam', 'sqlglot'} & {*sys.modules})"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert printed.stdout == "set()\n"
