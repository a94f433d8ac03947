"""The chips of an archive: below a folder, matching a glob, or in a manifest.

They stay in columns, never in lists of addresses: an archive has ten million chips.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import UsageError, as_usage_error
from pipelines.imaging.other_files import count_endings, no_image_text
from pipelines.planning.manifests import MANIFEST_ENDINGS, read_manifest
from pipelines.storage import store
from pipelines.storage.hidden_names import find_hidden
from pipelines.tars.tar_chips import SHARD_ENDINGS, ReadMembers, list_members, read_shard
from schemas.artifact import EXTENSIONS, MediaType


class Archive(NamedTuple):
    """What is in an archive.

    Attributes:
        chips: columns of CHIP_MANIFEST, at least chip_uri, etag, size_bytes and modified_at; a chip
            may occur twice.
        ignored: number of files that are not chips because their names are hidden.
    """

    chips: pa.Table
    ignored: int = 0


def list_chips(
    uri: str, media_type: MediaType | None, read_members: ReadMembers = read_shard
) -> Archive:
    """The chips of an archive.

    Args:
        uri: absolute address of a folder or prefix, a glob, or a manifest (.parquet, .csv).
        media_type: only chips of this media type, by their file names; None for all.
        read_members: reads the members of a tar in the listing.

    Raises:
        UsageError: nothing there, no image among it, or an invalid manifest.
    """
    endings = tuple(e for e, kind in EXTENSIONS.items() if media_type in (kind, None))
    if uri.lower().endswith(MANIFEST_ENDINGS):
        found = read_manifest(uri)
        return Archive(with_endings(found, endings) if media_type else found)
    return _list_images(uri, endings, read_members)


def with_endings(chips: pa.Table, endings: tuple[str, ...]) -> pa.Table:
    """The rows whose address ends with one of `endings`, in upper or lower case."""
    return chips.filter(ends_with(chips, endings))


def ends_with(chips: pa.Table, endings: tuple[str, ...]) -> pa.ChunkedArray:
    """Whether the address of each row ends with one of `endings`, in upper or lower case."""
    pattern = rf"(?:{'|'.join(map(re.escape, endings))})\z"
    return pc.match_substring_regex(chips["chip_uri"], pattern, ignore_case=True)


def _list_images(uri: str, endings: tuple[str, ...], read_members: ReadMembers) -> Archive:
    ignored, others = 0, Counter[str]()
    nothing = _chips_of(store.LISTING.empty_table())
    images, shards = [nothing], [nothing]
    with as_usage_error("--chips"):
        for table in map(_chips_of, store.list_objects(uri)):
            hidden = find_hidden(table["chip_uri"], uri)
            ignored += pc.sum(hidden).as_py() or 0
            seen = table.filter(pc.invert(hidden))
            images.append(with_endings(seen, endings))
            shards.append(with_endings(seen, SHARD_ENDINGS))
            if not (images[-1].num_rows or shards[-1].num_rows):
                others.update(count_endings(seen["chip_uri"].to_pylist()))
    for members, hidden_members in list_members(pa.concat_tables(shards), endings, read_members):
        images.append(members)
        ignored += hidden_members
    # Chips outside shards get nulls in the columns of the shard.
    found = pa.concat_tables(images, promote_options="default")
    if not found.num_rows:
        raise UsageError(
            f"--chips {uri!r} holds no image: {no_image_text(others, endings, ignored)}"
        )
    return Archive(found, ignored)


def _chips_of(listing: pa.Table) -> pa.Table:
    return listing.rename_columns({"uri": "chip_uri"})
