"""An archive of the other media type than the model's, noticed before all of it is read."""

from __future__ import annotations

from contextlib import suppress

import pyarrow as pa

from pipelines.errors import ChipRejected, StorageError, UsageError
from pipelines.imaging.decoding import media_type_of
from pipelines.planning.archive import with_endings
from pipelines.storage import store
from pipelines.wording import count_of
from schemas.artifact import EXTENSIONS, MediaType

_SAMPLE = 8
_FIRST_BYTES = 16


def refuse_other_media_type(chips: pa.Table, wanted: MediaType) -> None:
    """Refuse chips if none has a file name of the wanted media type, and the first bytes of some
    are of the other one too.

    Args:
        chips: as `archive.list_chips` returns them.
        wanted: the model's media type.

    Raises:
        UsageError: the model can score none of them.
    """
    if with_endings(chips, _endings(wanted)).num_rows:
        return
    other: MediaType = "tif" if wanted == "jpg" else "jpg"
    others = with_endings(chips, _endings(other))
    if _sampled_types(others) == {other}:
        raise UsageError(
            f"--chips holds {count_of(others.num_rows, f'{other} chip')} and no {wanted}, and the "
            f"model of --artifact takes {wanted}: give other chips, or a model trained on {other}"
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
