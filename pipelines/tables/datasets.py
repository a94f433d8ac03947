"""Datasets of pyarrow that DuckDB can read, also from files that Python code opens.

`Scanner.to_reader` of pyarrow 25 holds Python's global lock (GIL) while it starts to read. If
Python code opens the files, as for object stores, another thread may wait for the GIL to open the
next one, and hold a lock that this one needs: both wait forever. DuckDB calls it for each dataset.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads


class _Scanner:
    """A scanner that reads in `to_batches`, which releases the GIL."""

    def __init__(self, scanner: pads.Scanner) -> None:
        self._scanner = scanner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scanner, name)

    def to_reader(self) -> pa.RecordBatchReader:
        """Batches of the rows; nothing is read before the first is asked for."""
        return pa.RecordBatchReader.from_batches(self._scanner.projected_schema, self._batches())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        yield from self._scanner.to_batches()


class FileDataset(pads.FileSystemDataset):
    """The rows of files."""

    def scanner(self, **options: Any) -> Any:
        return _Scanner(super().scanner(**options))


class UnionDataset(pads.UnionDataset):
    """The rows of several datasets, with all their columns."""

    def __init__(self, children: Sequence[pads.Dataset]) -> None:
        schema = pa.unify_schemas([child.schema for child in children])
        super().__init__(schema, [child.replace_schema(schema) for child in children])

    def scanner(self, **options: Any) -> Any:
        return _Scanner(super().scanner(**options))
