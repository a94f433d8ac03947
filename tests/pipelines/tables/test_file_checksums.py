"""A file has a checksum of all its bytes, which readers of Parquet do not see."""

import contextlib
import io

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from pipelines.tables.file_checksums import ChecksumWriter, has_wrong_checksum

ROWS = pa.table(
    {"chip_uri": [f"chip-{n}" for n in range(50)], "score": [n / 50 for n in range(50)]}
)


def written(rows: pa.Table = ROWS) -> bytes:
    buffer = io.BytesIO()
    with ChecksumWriter(
        buffer, rows.schema, compression="zstd", write_page_checksum=True
    ) as writer:
        writer.write_table(rows, row_group_size=20)
    return buffer.getvalue()


DATA = written()


def test_pyarrow_and_duckdb_read_a_file_with_a_checksum(tmp_path):
    assert not has_wrong_checksum(DATA)
    assert pq.read_table(io.BytesIO(DATA)).equals(ROWS)
    path = tmp_path / "rows.parquet"
    path.write_bytes(DATA)
    assert duckdb.sql(f"FROM '{path}'").to_arrow_table().equals(ROWS)


@given(st.integers(0, len(DATA) - 1), st.integers(0, 7))
def test_no_changed_bit_is_missed_except_where_the_rows_are_right(position, bit):
    data = bytearray(DATA)
    data[position] ^= 1 << bit
    if not has_wrong_checksum(bytes(data)):  # in the mark, or the file cannot be opened
        with contextlib.suppress(OSError, pa.ArrowException):
            assert pq.read_table(io.BytesIO(data), page_checksum_verification=True).equals(ROWS)


def test_a_file_without_a_checksum_or_too_short_has_no_wrong_one():
    buffer = io.BytesIO()
    pq.write_table(ROWS, buffer)
    assert not has_wrong_checksum(buffer.getvalue())
    assert not has_wrong_checksum(b"")
    assert not has_wrong_checksum(DATA[:20])


def test_a_file_without_rows_has_a_checksum_too():
    data = written(ROWS.slice(0, 0))
    assert pq.read_table(io.BytesIO(data)).num_rows == 0
    assert has_wrong_checksum(data[:20] + bytes([data[20] ^ 1]) + data[21:])
