"""An archive of other media types than the model's, noticed before all of it is read."""

from __future__ import annotations

import sys
from contextlib import suppress

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import ChipRejected, StorageError, UsageError
from pipelines.imaging.decoding import media_type_of
from pipelines.planning.archive import ends_with, with_endings
from pipelines.planning.manifests import MANIFEST_ENDINGS
from pipelines.storage import store
from pipelines.wording import count_of
from schemas.artifact import EXTENSIONS, MEDIA_TYPES, MediaType

_SAMPLE = 8
_FIRST_BYTES = 16


def leave_out_pngs(chips: pa.Table, uri: str, wanted: MediaType) -> pa.Table:
    """The chips of a folder, prefix or glob without PNGs, unless the model takes them or there is
    nothing else: next to jpgs and tifs they are previews. Says on standard error how many.

    Args:
        chips: as `archive.list_chips` returns them.
        uri: where they were listed; the rows of a manifest stay as they are.
    """
    if wanted == "png" or uri.lower().endswith(MANIFEST_ENDINGS):
        return chips
    left = chips.filter(pc.invert(ends_with(chips, _endings("png"))))
    if not left.num_rows or left.num_rows == chips.num_rows:
        return chips
    ignored = count_of(chips.num_rows - left.num_rows, "png file")
    print(f"--chips: {ignored} ignored, the model of --artifact takes {wanted}", file=sys.stderr)
    return left


def refuse_other_media_type(chips: pa.Table, wanted: MediaType) -> None:
    """Refuse chips if none has a file name of the wanted media type, and the first bytes of some
    are of other ones too.

    Args:
        chips: as `archive.list_chips` returns them.
        wanted: the model's media type.

    Raises:
        UsageError: the model can score none of them.
    """
    if with_endings(chips, _endings(wanted)).num_rows:
        return
    others = {kind: with_endings(chips, _endings(kind)) for kind in MEDIA_TYPES if kind != wanted}
    found = set().union(*map(_sampled_types, others.values()))
    if not found or wanted in found:
        return
    counts = [count_of(rows.num_rows, f"{kind} chip") for kind, rows in others.items() if rows]
    raise UsageError(
        f"--chips holds {', '.join(counts)} and no {wanted}, and the model of --artifact takes "
        f"{wanted}: give other chips, or a model trained on {' or '.join(sorted(found))}"
    )


def _endings(media_type: MediaType) -> tuple[str, ...]:
    return tuple(ending for ending, kind in EXTENSIONS.items() if kind == media_type)


def _sampled_types(chips: pa.Table) -> set[MediaType]:
    """Media types by the first bytes of some chips, without those that cannot be read."""
    step = -(-chips.num_rows // _SAMPLE) or 1
    found: set[MediaType] = set()
    sample = pa.array(range(0, chips.num_rows, step), pa.int64())
    for row in chips.take(sample).to_pylist():
        uri = row.get("shard_uri") or row["chip_uri"]
        with suppress(StorageError, ChipRejected):
            found.add(
                media_type_of(store.read_range(uri, row.get("offset_bytes") or 0, _FIRST_BYTES))
            )
    return found
