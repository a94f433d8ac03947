"""Manifests: a user's table of chips, in Parquet or csv, instead of an archive."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import StorageError, UsageError
from pipelines.planning._footprints import WKT, with_footprints
from pipelines.planning._row_checks import BOUNDS_FAULTS, refuse_faults, with_bounds
from pipelines.planning.user_tables import cast_columns, read_columns
from pipelines.scenes.lattice import parse_window
from pipelines.storage import store
from pipelines.tars.tar_chips import SHARD_ENDINGS, find_chip
from schemas.chip_columns import BOUNDS, GEOMETRY
from schemas.render import file_schema
from schemas.scene_columns import SCENE_NAMES
from schemas.tables import CHIP_MANIFEST

MANIFEST_ENDINGS = (".parquet", ".csv")

_MANIFEST = file_schema(CHIP_MANIFEST)
_GIVEN = [name if name != GEOMETRY.name else WKT.name for name in _MANIFEST.names]
_LISTED = ("etag", "size_bytes", "modified_at")
"""Columns that a listing has."""
_PART_OF = ("shard_uri", "offset_bytes", *SCENE_NAMES)
"""Columns of chips that are part of a larger file."""
_HEAD_THREADS = 16
_SIZE_FAULT = {"size_bytes is not a file size": "size_bytes NOT BETWEEN 0 AND 1e15"}


def read_manifest(uri: str) -> pa.Table:
    """The chips of a manifest: those columns of CHIP_MANIFEST that it has, and those of a listing.
    Rows without an etag are looked up in the store.

    Raises:
        UsageError: it cannot be read, or is not a manifest.
    """
    table = read_columns(uri, "manifest", _GIVEN, ("chip_uri",), "--chips")
    if not table.num_rows:
        raise UsageError(f"manifest {uri!r} has no rows")
    chips = _typed(table, uri)
    refuse_faults(chips, "chip_uri", _SIZE_FAULT, f"manifest {uri!r}")
    if not set(BOUNDS).isdisjoint(chips.column_names):
        refuse_faults(with_bounds(chips), "chip_uri", BOUNDS_FAULTS, f"manifest {uri!r}")
    if WKT.name in table.column_names:
        texts = cast_columns(table, [WKT], "", f"manifest {uri!r}")[WKT.name]
        chips = with_footprints(chips, texts, "chip_uri", f"manifest {uri!r}")
    return _fill_versions(chips)


def _typed(table: pa.Table, uri: str) -> pa.Table:
    """Columns with the types and order of CHIP_MANIFEST; those of a listing are always there."""
    columns = cast_columns(table, _MANIFEST, store.parent_uri(uri), f"manifest {uri!r}")
    fields = [field for field in _MANIFEST if field.name in (*columns, *_LISTED)]
    typed = [
        columns.get(f.name, pa.chunked_array([pa.nulls(table.num_rows, f.type)])) for f in fields
    ]
    tidy = [_unless_empty(c) if c.type == pa.string() else c for c in typed]
    return pa.table(tidy, names=[field.name for field in fields])


def _unless_empty(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Null for empty text: an empty etag would stay the same however often a chip is replaced."""
    if not pc.any(pc.equal(texts, "")).as_py():
        return texts  # without a copy: these may be a gigabyte
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, texts.type), texts)


def look_up_versions(chips: pa.Table) -> pa.Table:
    """The same chips with their present etag, size and time from the store; null for those that
    no longer exist or cannot be looked up.

    Args:
        chips: columns of CHIP_MANIFEST.
    """
    known = chips.drop_columns([name for name in _LISTED if name in chips.column_names])
    for name in _LISTED:
        known = known.append_column(name, pa.nulls(chips.num_rows, _MANIFEST.field(name).type))
    return _fill_versions(known)


def _fill_versions(manifest: pa.Table) -> pa.Table:
    """Look up the rows without an etag in the store; missing objects stay without."""
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
    fields = [_MANIFEST.field(n) for n in _PART_OF if any(row.get(n) is not None for row in rows)]
    new = [pa.field(f.name, f.type) for f in fields if f.name not in chips.column_names]
    return pa.Table.from_pylist(rows, pa.schema([*chips.schema, *new]))


def clean_etags(etags: pa.ChunkedArray) -> pa.ChunkedArray:
    """`store.clean_etag` of a whole column."""
    if not pc.any(pc.match_substring_regex(etags, r'\A(?:W/|")|"\z')).as_py():
        return etags
    return pc.replace_substring_regex(etags, r'(?s)\A(?:W/)?"*(.*?)"*\z', r"\1")


def _find(row: dict[str, Any]) -> dict[str, Any]:
    """The columns of a listing, and the place in a tar or a scene, of one chip. If it cannot be
    looked up, the reading step tries again, and quarantines it if that fails."""
    uri = row["chip_uri"]
    try:
        found = store.head_object(uri)
        if found is None and row.get("shard_uri") is None:
            return find_chip(uri) or _find_window(uri)
    except StorageError:
        return {}
    known = {name: found[name] for name in _LISTED} if found else {}
    # A tar as a chip: the reading step quarantines it with the reason.
    return known | ({"shard_uri": uri} if uri.lower().endswith(SHARD_ENDINGS) else {})


def _find_window(uri: str) -> dict[str, Any]:
    """The columns of a window of a scene; none if there is no such scene."""
    found = parse_window(uri)
    scene = store.head_object(found[0]) if found else None
    if not (found and scene):
        return {}
    known = {name: scene[name] for name in _LISTED if name != "size_bytes"}
    return {**known, "scene_uri": found[0], **found[1]._asdict()}
