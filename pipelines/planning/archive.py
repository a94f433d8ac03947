"""What an archive holds: the chips below a folder, those that a glob fits, those of a manifest.

Columns throughout, never a list of addresses: an archive has ten million chips.
"""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import StorageError, UsageError
from pipelines.planning.manifests import MANIFEST_ENDINGS, read_manifest
from pipelines.storage import store
from pipelines.tars.tar_chips import SHARD_ENDINGS, ReadMembers, list_members, read_shard
from schemas.artifact import MediaType

EXTENSIONS: dict[MediaType, tuple[str, ...]] = {"jpg": (".jpg", ".jpeg"), "tif": (".tif", ".tiff")}
"""File name endings, in lower case, by which a listing's chips are told from other files."""


def list_chips(
    chips: str, media_type: MediaType | None, read_members: ReadMembers = read_shard
) -> pa.Table:
    """The chips of an archive: columns of CHIP_MANIFEST, at least chip_uri, etag, size_bytes and
    modified_at; a chip may stand in it twice.

    Args:
        chips: absolute address of a folder or prefix, a glob, or a manifest (.parquet, .csv).
        media_type: only chips of this media type, told by their file names; None for both.
        read_members: gives the members of a tar that is listed.

    Raises:
        UsageError: nothing there, no image among it, or a manifest that is none.
    """
    if chips.lower().endswith(MANIFEST_ENDINGS):
        found = read_manifest(chips)
        return keep_endings(found, endings_of(media_type)) if media_type else found
    return _list_images(chips, endings_of(media_type), read_members)


def endings_of(media_type: MediaType | None) -> tuple[str, ...]:
    """File name endings of one media type, or of all."""
    return EXTENSIONS[media_type] if media_type else sum(EXTENSIONS.values(), ())


def keep_endings(chips: pa.Table, endings: tuple[str, ...]) -> pa.Table:
    """The rows whose address ends so, in upper or lower case."""
    pattern = rf"(?:{'|'.join(map(re.escape, endings))})\z"
    return chips.filter(pc.match_substring_regex(chips["chip_uri"], pattern, ignore_case=True))


def _list_images(uri: str, endings: tuple[str, ...], read_members: ReadMembers) -> pa.Table:
    objects = 0
    nothing = _chips_of(store.LISTING.empty_table())
    images, shards = [nothing], [nothing]
    try:
        for table in map(_chips_of, store.list_objects(uri)):
            objects += table.num_rows
            images.append(keep_endings(table, endings))
            shards.append(keep_endings(table, SHARD_ENDINGS))
    except StorageError as error:
        raise UsageError(f"--chips: {error}") from error
    members = list_members(pa.concat_tables(shards), endings, read_members)
    found = _with_members(pa.concat_tables(images), list(members))
    if not found.num_rows:
        raise UsageError(
            f"--chips {uri!r} holds no image: {objects} objects, "
            f"none ending in {', '.join(endings)}; check the address and --media_type"
        )
    return found


def _with_members(images: pa.Table, members: list[pa.Table]) -> pa.Table:
    if not members:
        return images
    # Loose chips have nulls where those in shards say which, and where in it.
    return pa.concat_tables([images, *members], promote_options="default")


def _chips_of(listing: pa.Table) -> pa.Table:
    return listing.rename_columns({"uri": "chip_uri"})
