"""Users' tables, in Parquet or csv: read by columns, checked, and cast to the expected types.

Such a table may have ten million rows, so only the few that no rule covers are handled one by one.
"""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Iterable, Sequence
from typing import BinaryIO

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from pipelines import databases
from pipelines.errors import StorageError, UsageError
from pipelines.planning._row_checks import refuse_endless_times
from pipelines.storage import store

UTC = "SET TimeZone = 'UTC'"
"""Times without a zone mean UTC, on every machine."""

_SQL_TYPES = {
    "string": "VARCHAR",
    "binary": "BLOB",
    "int64": "BIGINT",
    "double": "DOUBLE",
    "timestamp[us, tz=UTC]": "TIMESTAMPTZ",
}
_TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_ROW_OF_CSV = re.compile(
    r"(CSV parse error: [^:]*(?:: Expected \d+ columns, got \d+)?):.*", re.DOTALL
)
"""What Arrow says of a row, with the row: the file may be another one than the user meant."""

_UNTIDY = r"//|(?:\A|/)\.\.?(?:/|\z)|/\z"  # parts that make a path not normalized
_ODD_IN_REMOTE = r"[?&@]|/\z"  # signed addresses are refused, a slash is cut off


def sql_type(arrow_type: pa.DataType) -> str:
    """The SQL name of a type of the manifest."""
    return _SQL_TYPES[str(arrow_type)]


def read_columns(
    uri: str, what: str, known: Sequence[str], needed: Collection[str], flag: str
) -> pa.Table:
    """The known columns of a user's table; others are not read.

    Args:
        what: the name of such a table for messages, such as "manifest".
        needed: names of which the table must have one.
        flag: the flag with its address.

    Raises:
        UsageError: it cannot be read, has none of the needed columns, or a known one twice.
    """
    try:
        table = _load(uri, known)
    except StorageError as error:
        raise UsageError(f"{flag}: {error}") from error
    except pa.ArrowException as error:
        why = _ROW_OF_CSV.sub(r"\1", str(error))
        raise UsageError(f"{what} {uri!r} cannot be read: {why}") from error
    names, found = table.column_names, set(table.column_names)
    if not found.intersection(needed):
        raise UsageError(
            f"{what} {uri!r} has no column {' or '.join(needed)} (it has: {', '.join(names)})"
        )
    if twice := sorted(name for name in found.intersection(known) if names.count(name) > 1):
        raise UsageError(f"{what} {uri!r} has more than one column {', '.join(twice)}")
    return table.select([name for name in names if name in known])


def cast_columns(
    table: pa.Table, fields: Iterable[pa.Field], folder: str, where: str
) -> dict[str, pa.ChunkedArray]:
    """Those of some fields that a table has, cast as SQL does: text to numbers and times, too.

    Args:
        folder: where relative addresses in `chip_uri` start.
        where: the table's name in messages.

    Raises:
        UsageError: a value cannot be cast, or an address is refused.
    """
    return {
        field.name: absolute_uris(table[field.name], folder, where)
        if field.name == "chip_uri"
        else _cast_column(table[field.name], field, where)
        for field in fields
        if field.name in table.column_names
    }


def _cast_column(column: pa.ChunkedArray, field: pa.Field, where: str) -> pa.ChunkedArray:
    cast = column if column.type == field.type else _cast(column, field, where)
    if pa.types.is_timestamp(field.type):
        refuse_endless_times(cast, f"{where}, column {field.name}")
    return cast


def _cast(column: pa.ChunkedArray, field: pa.Field, where: str) -> pa.ChunkedArray:
    connection = databases.connect()
    connection.execute(UTC)
    connection.register("given", pa.table({field.name: column}))
    cast = f'SELECT CAST("{field.name}" AS {sql_type(field.type)}) AS value FROM given'
    try:
        return connection.sql(cast).to_arrow_table()["value"].cast(field.type)
    except duckdb.Error as error:
        detail = str(error).partition("\n")[0]
        raise UsageError(f"{where}, column {field.name}, has invalid values: {detail}") from error


def absolute_uris(uris: pa.ChunkedArray, folder: str, where: str) -> pa.ChunkedArray:
    """`store.absolute_uri` of a whole column; relative addresses start at `folder`.

    Raises:
        UsageError: an address is not text, is empty, or `store.absolute_uri` refuses it.
    """
    uris = _as_text(uris, where)
    is_remote = pc.match_substring_regex(uris, r"\A(?:gs|s3)://")
    odd = pc.if_else(
        is_remote,
        pc.match_substring_regex(uris, _ODD_IN_REMOTE),
        pc.match_substring_regex(uris, _UNTIDY),
    )
    is_absolute = pc.or_(is_remote, pc.starts_with(uris, "/"))
    if pc.all(is_absolute).as_py() and not pc.any(odd).as_py():
        return uris  # without a copy: these may be a gigabyte
    below = pc.binary_join_element_wise(folder.rstrip("/"), uris, "/")
    return _replace_odd(pc.if_else(is_absolute, uris, below), odd, uris, folder)


def _replace_odd(
    tidy: pa.ChunkedArray, odd: pa.ChunkedArray, uris: pa.ChunkedArray, folder: str
) -> pa.ChunkedArray:
    """The addresses that no rule covers, made absolute one by one."""
    others = [store.absolute_uri(uri, folder) for uri in uris.filter(odd).to_pylist()]
    if not others:
        return tidy
    return pc.replace_with_mask(tidy, odd.combine_chunks(), pa.array(others, pa.string()))


def _as_text(uris: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    kind = uris.type.value_type if pa.types.is_dictionary(uris.type) else uris.type
    is_text = any(is_kind(kind) for is_kind in _TEXTS)
    uris = uris.cast(pa.string()) if is_text else pa.chunked_array([pa.nulls(len(uris))])
    if uris.null_count or pc.any(pc.equal(uris, "")).as_py():
        raise UsageError(f"{where}: chip_uri must be text and may not be empty")
    return uris


def _load(uri: str, known: Sequence[str]) -> pa.Table:
    if uri.lower().endswith(".parquet"):
        with store.open_file(uri) as file:
            return _load_parquet(_open_parquet(uri, file), known)
    # Every column is read as text, since a scene "007" is not the number 7; casts come later.
    data = store.read_bytes(uri)
    parsing = pa_csv.ParseOptions(newlines_in_values=True)
    header = pa_csv.open_csv(io.BytesIO(data), parse_options=parsing).schema.names
    types = pa_csv.ConvertOptions(
        column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=True
    )
    return pa_csv.read_csv(io.BytesIO(data), parse_options=parsing, convert_options=types)


def _open_parquet(uri: str, file: BinaryIO) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file)
    except pa.ArrowInvalid:  # perhaps stored with `Content-Encoding: gzip`
        return pq.ParquetFile(io.BytesIO(store.read_bytes(uri)))


def _load_parquet(file: pq.ParquetFile, known: Sequence[str]) -> pa.Table:
    """The known columns; an empty table, to be refused, if there is none or one occurs twice."""
    names = file.schema_arrow.names
    asked = [name for name in names if name in known]
    if not asked or len(set(asked)) < len(asked):
        return file.schema_arrow.empty_table()
    return file.read(columns=asked)
