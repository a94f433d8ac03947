"""The answer to a query as text: an aligned table, csv, JSON or GeoJSON, all of its rows and
columns.

In every format times are ISO 8601 (with `Z` where the type knows its zone, which is always UTC
here), dates are ISO, intervals are ISO 8601 durations, and a number that is not finite (NaN,
infinite) is null. csv (RFC 4180) writes null as an empty field, lists and structs as JSON text;
the table writes null as `NULL`, and escapes control characters, so that each row is one line.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa

from beam_jobs.geojson import geometries
from pipelines.blocks.text_table import align
from pipelines.errors import UsageError
from pipelines.wording import no_formula


def as_json(answer: pa.Table) -> str:
    """One array of objects, one object per line.

    Raises:
        UsageError: two columns share a name, so that an object would lose one.
    """
    _check_names(answer, "json")
    rows = _objects(answer)
    return "[\n" + ",\n".join(rows) + "\n]\n" if rows else "[]\n"


def as_geojson(answer: pa.Table) -> str:
    """One FeatureCollection, one feature per line. The geometry of a row is not among its
    properties; all other columns are.

    Raises:
        UsageError: two columns share a name, or there is no geometry, or several.
    """
    _check_names(answer, "geojson")
    shapes, replaced = geometries(answer)
    rows = _objects(answer.drop_columns([*replaced]))
    features = [
        f'{{"type": "Feature", "geometry": {shape}, "properties": {row}}}'
        for shape, row in zip(shapes, rows or ["{}"] * len(shapes), strict=True)
    ]
    return '{"type": "FeatureCollection", "features": [\n' + ",\n".join(features) + "\n]}\n"


def as_csv(answer: pa.Table) -> str:
    """A header and the rows, with CRLF line ends. A text that a spreadsheet would run as a formula
    begins with an apostrophe."""
    return _csv(answer, no_formula)


def as_raw_csv(answer: pa.Table) -> str:
    """The same with every text as it is."""
    return _csv(answer, str)


def _csv(answer: pa.Table, cell: Callable[[str], str]) -> str:
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(map(cell, answer.column_names))
    for row in plain_rows(answer):
        writer.writerow(
            cell(value) if isinstance(value, str) else _text(value, null="") for value in row
        )
    return file.getvalue()


def as_table(answer: pa.Table) -> str:
    """Columns aligned for reading, numbers to the right."""
    rows = [[_text(value) for value in row] for row in plain_rows(answer)]
    right = [_is_number(column.type) for column in answer.columns]
    return align(answer.column_names, rows, right) + "\n"


FORMATS: dict[str, Callable[[pa.Table], str]] = {
    "table": as_table,
    "csv": as_csv,
    "json": as_json,
    "geojson": as_geojson,
}
"""The formats by name."""


def plain_rows(answer: pa.Table) -> list[tuple[Any, ...]]:
    """Rows of None, bool, int, float, str, list and dict only.

    A float32 becomes the shortest decimal that is still the same float32.

    Raises:
        UsageError: a time that no calendar of four digits holds.
    """
    named = zip(answer.column_names, answer.columns, strict=True)
    columns = [[_plain(value) for value in _values(name, column)] for name, column in named]
    return list(zip(*columns, strict=True))


def _objects(answer: pa.Table) -> list[str]:
    """Each row as a JSON object."""
    names = answer.column_names
    return [_json(dict(zip(names, row, strict=True))) for row in plain_rows(answer)]


def _check_names(answer: pa.Table, form: str) -> None:
    names = answer.column_names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"{form} needs a name for each column: use AS for {', '.join(twice)}")


def _values(name: str, column: pa.ChunkedArray) -> list[Any]:
    if column.type == pa.float32():
        column = column.cast(pa.string()).cast(pa.float64())
    try:
        values: list[Any] = column.to_pylist()
    except OverflowError as error:  # Python's calendar is shorter than DuckDB's
        raise UsageError(f"{name} has times outside of years 1 to 9999: cast to VARCHAR") from error
    return values


def _plain(value: Any) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Decimal():  # what DuckDB's sums of integers are, too
            return int(value) if value == value.to_integral_value() else float(value)
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case date() | time():
            return value.isoformat()
        case bytes():
            return value.hex()
        case pa.MonthDayNano():
            return _duration(value)
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
    return str(value)


def _duration(interval: Any) -> str:
    """A DuckDB interval as an ISO 8601 duration.

    >>> _duration(pa.MonthDayNano([1, 2, 3_500_000_000]))
    'P1M2DT3.5S'
    """
    seconds = f"{interval.nanoseconds / 1e9:.6f}".rstrip("0").rstrip(".")
    return f"P{interval.months}M{interval.days}DT{seconds}S"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _text(value: Any, null: str = "NULL") -> str:
    if value is None:
        return null
    return value if isinstance(value, str) else _json(value)


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )
