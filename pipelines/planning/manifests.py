"""Manifests that a user gives: a table of chips, in Parquet or csv, in place of an archive."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import StorageError, UsageError
from pipelines.planning.row_checks import BOUNDS_FAULTS, refuse_faults, with_bounds
from pipelines.planning.user_tables import absolute_uris, cast_column, read_columns
from pipelines.storage import store
from pipelines.tars.tar_chips import SHARD_ENDINGS, find_chip
from schemas.render import file_schema
from schemas.tables import BOUNDS, CHIP_MANIFEST

MANIFEST_ENDINGS = (".parquet", ".csv")

_MANIFEST = file_schema(CHIP_MANIFEST)
_LISTED = ("etag", "size_bytes", "modified_at")
"""What a listing tells of a chip."""
_IN_SHARD = ("shard_uri", "offset_bytes")
_HEAD_THREADS = 16
_SIZE_FAULT = {"size_bytes is no size of a file": "size_bytes NOT BETWEEN 0 AND 1e15"}


def read_manifest(uri: str) -> pa.Table:
    """The chips of a manifest: those columns of CHIP_MANIFEST that it has, and what a listing
    would tell; the store is asked for the etag of rows that have none.

    Raises:
        UsageError: it cannot be read, or is no manifest.
    """
    table = read_columns(uri, "manifest", _MANIFEST.names, ("chip_uri",), "--chips")
    if not table.num_rows:
        raise UsageError(f"manifest {uri!r} names no chip")
    uris = absolute_uris(table["chip_uri"], store.parent_uri(uri), f"manifest {uri!r}")
    chips = _typed(table.drop_columns("chip_uri"), uris, uri)
    _refuse_faults(chips, f"manifest {uri!r}")
    return _look_up_versions(chips)


def _refuse_faults(chips: pa.Table, where: str) -> None:
    refuse_faults(chips, "chip_uri", _SIZE_FAULT, where)
    if not set(BOUNDS).isdisjoint(chips.column_names):
        refuse_faults(with_bounds(chips), "chip_uri", BOUNDS_FAULTS, where)


def _typed(given: pa.Table, uris: pa.ChunkedArray, uri: str) -> pa.Table:
    """Columns as CHIP_MANIFEST has them, in its order; what a listing tells is there at least."""
    columns, fields = [uris], [pa.field("chip_uri", pa.string())]
    for field in _MANIFEST:
        if field.name in given.column_names:
            column = cast_column(given[field.name], field, f"manifest {uri!r}")
            columns.append(_unless_empty(column) if field.type == pa.string() else column)
        elif field.name in _LISTED:
            columns.append(pa.chunked_array([pa.nulls(len(uris), field.type)]))
        else:
            continue
        fields.append(pa.field(field.name, field.type))
    return pa.table(columns, schema=pa.schema(fields))


def _unless_empty(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """An empty text, as Parquet can hold it, tells as little as none: as an etag it would stay the
    same however often the chip is replaced."""
    if not pc.any(pc.equal(texts, "")).as_py():
        return texts  # without a copy: these may be a gigabyte
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, texts.type), texts)


def look_up_anew(chips: pa.Table) -> pa.Table:
    """Chips as they lie in the store now, whatever was known of their versions; those that are
    gone, or cannot be looked up, have no etag.

    Args:
        chips: columns of CHIP_MANIFEST.
    """
    known = chips.drop_columns([name for name in _LISTED if name in chips.column_names])
    nothing = [pa.nulls(chips.num_rows, _MANIFEST.field(name).type) for name in _LISTED]
    for name, column in zip(_LISTED, nothing, strict=True):
        known = known.append_column(name, column)
    return _look_up_versions(known)


def _look_up_versions(manifest: pa.Table) -> pa.Table:
    """Ask the store for the etag of rows that have none; what is not there stays without."""
    etags = clean_etags(manifest["etag"])
    manifest = manifest.set_column(manifest.schema.get_field_index("etag"), "etag", etags)
    if not etags.null_count:
        return manifest
    has_etag = etags.is_valid()
    unknown = manifest.filter(pc.invert(has_etag))
    return pa.concat_tables(
        [manifest.filter(has_etag), _looked_up(unknown)], promote_options="default"
    )


def _looked_up(chips: pa.Table) -> pa.Table:
    rows = chips.to_pylist()
    with ThreadPoolExecutor(_HEAD_THREADS) as pool:
        for row, found in zip(rows, pool.map(_find, rows), strict=True):
            row.update(found)
    fields = [_MANIFEST.field(n) for n in _IN_SHARD if any(row.get(n) for row in rows)]
    new = [pa.field(f.name, f.type) for f in fields if f.name not in chips.column_names]
    return pa.Table.from_pylist(rows, pa.schema([*chips.schema, *new]))


def clean_etags(etags: pa.ChunkedArray) -> pa.ChunkedArray:
    """`storage.clean_etag` of a whole column."""
    if not pc.any(pc.match_substring_regex(etags, r'\A(?:W/|")|"\z')).as_py():
        return etags
    return pc.replace_substring_regex(etags, r'(?s)\A(?:W/)?"*(.*?)"*\z', r"\1")


def _find(row: dict[str, Any]) -> dict[str, Any]:
    """What a listing would tell of a chip, and where it lies in a tar, if it does. One that cannot
    be looked up is left to the reading, which quarantines what stays so."""
    uri = row["chip_uri"]
    try:
        found = store.head_object(uri)
        if found is None and row.get("shard_uri") is None:
            return find_chip(uri) or {}
    except StorageError:
        return {}
    known = {name: found[name] for name in _LISTED} if found else {}
    # A tar is no chip, whatever is wrong with it: the reading says what.
    return known | ({"shard_uri": uri} if uri.lower().endswith(SHARD_ENDINGS) else {})
