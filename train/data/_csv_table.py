"""A csv file that a user gives, as columns and rows: its encoding and its delimiter are found."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.errors import UsageError
from train.addresses import read_file

NAME_COLUMN = "image_name"

_DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True)
class CsvTable:
    """The fields of a csv, without spaces around them.

    Attributes:
        source: the flag and the file, for messages.
        columns: the header.
        rows: number of the row in the file, and one field for each column; empty rows are left out.
    """

    source: str
    columns: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]

    def column(self, name: str) -> list[tuple[int, str, str]]:
        """Row number, image_name and another field of each row.

        Raises:
            UsageError: one of the two columns is missing or there twice, there are no rows, or a
                row has no image_name.
        """
        self.require(name)
        name_at, field_at = self.columns.index(NAME_COLUMN), self.columns.index(name)
        return [(number, row[name_at], row[field_at]) for number, row in self.rows]

    def require(self, *names: str, hint: str = "") -> None:
        """Refuse a table without image_name in each row, or without other columns.

        Args:
            hint: ends the message.

        Raises:
            UsageError: see `column`.
        """
        held = Counter(self.columns)
        wanted = [NAME_COLUMN, *names]
        if any(held[name] != 1 for name in wanted):
            twice = " (each of them once)" if any(held[name] > 1 for name in wanted) else ""
            columns = f"column{'s' if names else ''} {' and '.join(wanted)}"
            found = ", ".join(self.columns) or "an empty file"
            raise UsageError(
                f"{self.source}: the CSV must have the {columns}{twice}; found {found}{hint}"
            )
        if not self.rows:
            raise UsageError(f"{self.source} has no rows below its header")
        at = self.columns.index(NAME_COLUMN)
        if unnamed := [number for number, row in self.rows if not row[at]]:
            raise UsageError(f"{self.source}: row {unnamed[0]} has no {NAME_COLUMN}")


def read_csv_table(flag: str, uri: str) -> CsvTable:
    """Read a csv in UTF-8 or UTF-16 with commas, semicolons or tabs between its columns.

    Args:
        flag: the flag that names the file, for messages.

    Raises:
        UsageError: it is no such csv, or a row has more fields than there are columns.
        StorageError: it cannot be read.
    """
    source = f"{flag} {uri}"
    text = _decode(source, read_file(flag, uri))
    delimiter = _find_delimiter(text)
    try:
        lines = list(enumerate(_read(text, delimiter), 1))
    except csv.Error as error:
        raise UsageError(f"{source} is not a csv: {error}") from error
    lines = [(number, row) for number, row in lines if any(row)]
    columns = tuple(lines[0][1]) if lines else ()
    rows = tuple((number, _fitted(source, columns, number, row)) for number, row in lines[1:])
    return CsvTable(source, columns, rows)


def _decode(source: str, data: bytes) -> str:
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        row = data[: error.start].count(b"\n") + 1
        raise UsageError(
            f"{source} is not text in UTF-8 (line {row}: {error.reason}); save it as CSV UTF-8"
        ) from error
    if "\0" in text:
        raise UsageError(f"{source} is not text in UTF-8: it has zero bytes; save it as CSV UTF-8")
    return text


def _find_delimiter(text: str) -> str:
    """The delimiter that makes image_name a column, or else the most columns."""
    header = next((line for line in text.splitlines() if line.strip()), "")
    found = {delimiter: next(_read(header, delimiter), []) for delimiter in _DELIMITERS}
    return max(_DELIMITERS, key=lambda d: (NAME_COLUMN in found[d], len(found[d])))


def _read(text: str, delimiter: str) -> Iterator[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    return ([field.strip() for field in row] for row in reader)


def _fitted(source: str, columns: Sequence[str], number: int, row: list[str]) -> tuple[str, ...]:
    """A row with exactly one field for each column."""
    if any(row[len(columns) :]):
        raise UsageError(
            f"{source}: row {number} has {len(row)} fields for {len(columns)} columns; put tags "
            'into double quotes if they contain the character between the columns: "clear,water"'
        )
    return tuple(row[: len(columns)] + [""] * (len(columns) - len(row)))
