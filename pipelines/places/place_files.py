"""Files with the rows of `places` and `chip_places`, which are not committed yet."""

import uuid
from collections.abc import Iterator
from itertools import chain

import pyarrow as pa

from pipelines.errors import StorageError
from pipelines.places.cells import Cells, Floats, cell_centres, cell_names, cell_outlines
from pipelines.storage import store
from pipelines.tables.commits import DataFile
from pipelines.tables.parquet_files import open_writer
from schemas.place_tables import PLACES
from schemas.render import file_schema
from schemas.table import Table

_BATCH_ROWS = 131_072
_GROUP_ROWS = 4_096
_PLACES = file_schema(PLACES)


def write_places(output: str, cells: Cells, resolution: int) -> list[DataFile]:
    """Write the rows of cells, in the order of their numbers: neighbours are near each other.

    Raises:
        StorageError: the file cannot be written.
    """

    def rows() -> Iterator[pa.Table]:
        for start in range(0, len(cells), _BATCH_ROWS):
            part = cells[start : start + _BATCH_ROWS]
            outlines, bounds = cell_outlines(part)
            columns = [
                cell_names(part),
                outlines,
                _boxes(bounds),
                *map(pa.array, cell_centres(part).T),
            ]
            yield pa.table([*columns, pa.repeat(resolution, len(part))], schema=_PLACES)

    return write_rows(output, PLACES, rows())


def _boxes(bounds: Floats) -> pa.StructArray:
    edges = [pa.array(edge) for edge in bounds.T]
    return pa.StructArray.from_arrays(edges, fields=[*_PLACES.field("bbox").type])


def write_rows(output: str, table: Table, parts: Iterator[pa.Table]) -> list[DataFile]:
    """A file of some rows, which is not committed yet; none without rows.

    Raises:
        StorageError: it cannot be written.
    """
    path = f"update-{uuid.uuid4().hex}.parquet"
    uri = store.join_uri(output, table.name, path)
    first = next((part for part in parts if part.num_rows), None)
    if first is None:
        return []
    rows = 0
    with store.create_file(uri) as file, open_writer(file, first.schema) as writer:
        for part in chain([first], parts):
            writer.write_table(part, row_group_size=_GROUP_ROWS)
            rows += part.num_rows
    written = store.head_object(uri)
    if written is None:
        raise StorageError(f"wrote {uri!r}, but it does not exist")
    return [DataFile(path, written["size_bytes"], rows)]
