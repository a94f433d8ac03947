"""Datasets whose files are opened by Python code can be read by DuckDB."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest
from deltalake.fs import DeltaStorageHandler
from pyarrow.fs import PyFileSystem

from pipelines.tables import datasets
from pipelines.tables.datasets import FileDataset, UnionDataset

FORMAT = pads.ParquetFileFormat()


class _Counting(DeltaStorageHandler):
    """Counts the files that it opens."""

    opened = 0

    def open_input_file(self, path: str) -> pa.PythonFile:
        self.opened += 1
        return super().open_input_file(path)


def _rows_of(numbers: range) -> pa.Table:
    return pa.table({"number": pa.array(numbers), "text": [f"no {n}" for n in numbers]})


@pytest.fixture
def files(tmp_path: Path) -> _Counting:
    for number in range(20):
        pq.write_table(_rows_of(range(number, 200, 20)), tmp_path / f"{number}.parquet")
    return _Counting(str(tmp_path))


def _dataset(files: _Counting, numbers: range = range(20)) -> FileDataset:
    system = PyFileSystem(files)
    fragments = [FORMAT.make_fragment(f"{number}.parquet", system) for number in numbers]
    return FileDataset(fragments, _rows_of(range(1)).schema, FORMAT, system)


def test_making_a_reader_opens_no_file_and_its_rows_are_those_of_a_table(files) -> None:
    dataset = _dataset(files).filter(pads.field("number") >= 100)
    options = {"columns": ["number"], "filter": pads.field("number") < 150}
    reader = dataset.scanner(**options).to_reader()
    assert files.opened == 0
    found = reader.read_all()
    assert files.opened > 0
    assert found.sort_by("number") == dataset.to_table(**options).sort_by("number")
    assert sorted(found["number"].to_pylist()) == [*range(100, 150)]


@pytest.mark.parametrize("in_parts", [False, True])
def test_duckdb_begins_to_read_when_it_has_the_reader(files, in_parts: bool, monkeypatch) -> None:
    opened: list[int] = []

    def to_reader(scanner: datasets._Scanner) -> pa.RecordBatchReader:
        reader = plain(scanner)
        opened.append(files.opened)
        return reader

    plain = datasets._Scanner.to_reader
    monkeypatch.setattr(datasets._Scanner, "to_reader", to_reader)
    dataset: pads.Dataset = _dataset(files)
    if in_parts:
        dataset = UnionDataset([_dataset(files, range(12)), _dataset(files, range(12, 20))])
    connection = duckdb.connect()
    connection.register("given", dataset)
    asked = "SELECT count(*), sum(number), max(text) FROM given WHERE number >= 20"
    assert connection.sql(asked).fetchall() == [(180, sum(range(20, 200)), "no 99")]
    assert opened == [0]
    assert files.opened >= 20


def test_a_union_has_the_columns_of_all_parts(files, tmp_path: Path) -> None:
    pq.write_table(pa.table({"number": [1000], "more": ["x"]}), tmp_path / "more.parquet")
    more = pads.dataset(str(tmp_path / "more.parquet"))
    rows = UnionDataset([_dataset(files, range(1)), more]).to_table().sort_by("number").to_pylist()
    assert rows[0] == {"number": 0, "text": "no 0", "more": None}
    assert rows[-1] == {"number": 1000, "text": None, "more": "x"}
