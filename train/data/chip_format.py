"""What the chips of a set are: their bands, and the type of their samples.

All JPEGs and PNGs are the same. GeoTIFFs are looked at: a sample of them, header by header.
"""

import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np

from pipelines.errors import ChipRejected, UsageError
from pipelines.imaging.decoding import media_type_of
from pipelines.imaging.tiff_bands import TifKind, read_kind
from pipelines.imaging.tiff_layout import read_layout
from schemas.artifact import BANDS, MediaType, Preprocessing, SampleType
from schemas.tables import QuarantineReason as Reason
from train.data.examples import READABLE_SIDES_PX, READING_THREADS, read_training_chip

MOST_SAMPLED = 1000
"""At most this many headers are read."""

LEAST_SHARE = 0.95
"""A set is of one kind if at least this part of it is. The other chips are set aside, and counted
like damaged ones."""

_SHOWN = 5
_ASKED = re.compile(rf"(\d{{1,2}})x({'|'.join(get_args(SampleType))})")

Scaling = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class ChipFormat:
    """What chips are.

    Attributes:
        media_type: of all of them.
        kind: of tifs; None for others.
    """

    media_type: MediaType
    kind: TifKind | None = None

    @property
    def stored(self) -> tuple[str, ...]:
        """Names of the bands in the order in which they are stored."""
        return self.kind.bands if self.kind else BANDS[self.media_type]

    @property
    def samples(self) -> SampleType:
        """Type of their samples."""
        return self.kind.samples if self.kind else "uint8"

    def with_names(self, names: tuple[str, ...]) -> "ChipFormat":
        """The same chips, whose bands are called so."""
        return (
            self
            if names == self.stored
            else replace(self, kind=TifKind(names, self.samples, False))
        )

    def preprocessing(
        self, image_size: int, bands: tuple[str, ...], scaling: Scaling | None
    ) -> Preprocessing:
        """The preprocessing for these chips, of any size that can be read."""
        usual = self.kind is None or self.kind == TifKind(BANDS["tif"], "uint16", named=False)
        return Preprocessing(
            self.media_type,
            image_size,
            bands,
            scaling,
            READABLE_SIDES_PX,
            () if usual else self.stored,
            None if usual else self.samples,
        )


def find_format(
    media_type: MediaType,
    uris: Sequence[str],
    seed: int,
    asked: str | None = None,
    least_share: float = LEAST_SHARE,
) -> ChipFormat:
    """What chips of a media type are; of tifs, by the headers of a sample.

    Args:
        asked: `--tif_kind`, such as `6xuint16`.
        least_share: of the most frequent kind, unless one is asked for.

    Raises:
        UsageError: no tif can be read; or they are of several kinds, and `asked` chooses none.
    """
    if media_type != "tif":
        return ChipFormat(media_type)
    chosen = np.random.default_rng(seed).permutation(len(uris))[:MOST_SAMPLED]
    with ThreadPoolExecutor(READING_THREADS) as pool:
        found = list(pool.map(lambda i: _read_kind(uris[i]), chosen))
    kinds = [kind for kind in found if isinstance(kind, TifKind)]
    if not kinds:
        first = next(each for each in found if isinstance(each, ChipRejected))
        raise UsageError(f"none of the {len(found)} training tifs can be decoded: {first.message}")
    return ChipFormat("tif", _choose(_count(kinds), asked, least_share))


def check_kind(asked: str) -> None:
    """Refuse an invalid `--tif_kind`.

    Raises:
        UsageError: it is not a number of bands and a type.
    """
    if not _ASKED.fullmatch(asked):
        raise UsageError(
            f"--tif_kind {asked}: it is a number of bands and a type, such as 6xuint16; types are "
            f"{', '.join(get_args(SampleType))}"
        )


def _read_kind(uri: str) -> TifKind | ChipRejected:
    try:
        data = read_training_chip(uri)
        if (found := media_type_of(data)) != "tif":
            raise ChipRejected(Reason.MEDIA_TYPE, f"the bytes are {found}")
        return read_kind(data, read_layout(data))
    except ChipRejected as rejection:
        return rejection


def _count(kinds: Sequence[TifKind]) -> Counter[TifKind]:
    """How often each kind occurs. Files without names are of the kind of those with names if these
    are of one kind: they are read by position."""
    counts = Counter(kinds)
    for kind in [kind for kind in counts if not kind.named]:
        same = [
            other
            for other in counts
            if other.named and (len(other.bands), other.samples) == (len(kind.bands), kind.samples)
        ]
        if len(same) == 1:
            counts[same[0]] += counts.pop(kind)
    return counts


def _choose(counts: Counter[TifKind], asked: str | None, least_share: float) -> TifKind:
    total = counts.total()
    text = ", ".join(f"{count:,} of {kind.text}" for kind, count in counts.most_common(_SHOWN))
    if asked is None:
        kind, count = counts.most_common(1)[0]
        if count < least_share * total:
            raise UsageError(
                f"--chips holds tifs of {len(counts)} kinds ({text}; {total:,} were looked at), "
                f"and a network takes one: give --tif_kind {len(kind.bands)}x{kind.samples} for "
                "the most frequent"
            )
    else:
        match = _ASKED.fullmatch(asked)
        fitting = [
            (kind, count)
            for kind, count in counts.most_common()
            if match and (len(kind.bands), kind.samples) == (int(match[1]), match[2])
        ]
        if not fitting:
            raise UsageError(f"--tif_kind {asked}: --chips holds {text}")
        kind, count = fitting[0]
    if count < total:
        print(
            f"--chips holds tifs of {len(counts)} kinds ({text}): using {kind.text}; the others "
            "are set aside",
            flush=True,
        )
    return kind
