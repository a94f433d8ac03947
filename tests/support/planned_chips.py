"""Planned chips, listings, and versions that count as done."""

from __future__ import annotations

import pyarrow as pa

from pipelines.planning.archive import list_chips
from pipelines.planning.done import CHIP_VERSIONS
from pipelines.planning.selection import select_chips
from schemas.artifact import MediaType
from schemas.render import file_schema
from schemas.tables import CHIP_MANIFEST


def planned_chips(uri: object, media_type: MediaType | None = None) -> pa.Table:
    """An archive's chips in the manifest's schema, if none is done yet."""
    return select_chips(list_chips(str(uri), media_type).chips, versions([])).chips.read_all()


def chips_of(pairs: list[tuple[str, str | None]], **more: object) -> pa.Table:
    """A listing of chips `/NAME.jpg` with etags."""
    rows = [{"chip_uri": f"/{uri}.jpg", "etag": etag, **more} for uri, etag in pairs]
    schema = file_schema(CHIP_MANIFEST)
    names = ["chip_uri", "etag", "size_bytes", "modified_at"]
    return pa.Table.from_pylist(rows, pa.schema([schema.field(name) for name in names]))


def versions(pairs: list[tuple[str, str | None]]) -> pa.RecordBatchReader:
    """The same chips as versions that are done."""
    rows = [{"chip_uri": f"/{uri}.jpg", "etag": etag} for uri, etag in pairs]
    return pa.Table.from_pylist(rows, CHIP_VERSIONS).to_reader()
