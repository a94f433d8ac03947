"""Which bands a GeoTIFF chip has, and which of its samples a model takes."""

from dataclasses import dataclass

import numpy as np

from pipelines.errors import ChipRejected
from pipelines.imaging import tiff_header as tiff
from pipelines.imaging.band_names import COLOURS, numbered_names
from pipelines.imaging.gdal_metadata import BandTags, read_band_tags
from pipelines.imaging.resize import Radiometry
from pipelines.imaging.tiff_layout import TiffLayout
from schemas.artifact import BANDS, Preprocessing, SampleType
from schemas.networks.preprocessing import MOST_BANDS
from schemas.tables import QuarantineReason as Reason

_ALPHAS = (1, 2)  # values of ExtraSamples
READ = "uint8, uint16, int16 and float32"


@dataclass(frozen=True)
class TifKind:
    """What a chip's bands are.

    Attributes:
        bands: their names, without an alpha channel. If the file does not name all of them, they
            are red, green, blue of three, those of `BANDS` of four, else numbered.
        samples: their type.
        named: whether the names are the file's.
        alpha: whether an alpha channel follows.
    """

    bands: tuple[str, ...]
    samples: SampleType
    named: bool
    alpha: bool = False

    @property
    def text(self) -> str:
        """Such as `4 x uint16`, with the names if the file has them."""
        names = f" ({', '.join(self.bands)})" if self.named else ""
        return f"{len(self.bands)} x {self.samples}{names}"


@dataclass(frozen=True)
class BandChoice:
    """The samples of a pixel that a model takes.

    Attributes:
        positions: of the model's bands among the samples; None: all samples, in their order.
        has_alpha: whether the last sample says where there are data: 0 means none.
        scales, offsets: the value of a number is number * scale + offset; () if it is the number.
    """

    positions: tuple[int, ...] | None = None
    has_alpha: bool = False
    scales: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()

    def values_of(self, numbers: Radiometry) -> Radiometry:
        """The values of numbers `float32 [..., bands]`, of the model's bands in their order."""
        if not self.scales:
            return numbers
        scales, offsets = (np.array(each, np.float32) for each in (self.scales, self.offsets))
        values: Radiometry = numbers * scales + offsets
        return values


_ALL = BandChoice()


def read_kind(data: bytes, layout: TiffLayout) -> TifKind:
    """What the bands of a chip are.

    Raises:
        ChipRejected: wrong_bands: chips of this kind are not read.
    """
    samples = layout.samples
    if samples is None or not 1 <= layout.bands <= MOST_BANDS:
        limit = f"only 1 to {MOST_BANDS} bands of {READ} are read"
        raise ChipRejected(Reason.WRONG_BANDS, f"{layout.mode}: {limit}")
    alpha = has_alpha(data, layout)
    for count in (layout.bands, layout.bands - alpha):  # a band with a name is no alpha channel
        if names := read_band_tags(data, count).names:
            return TifKind(names, samples, True, count < layout.bands)
    return TifKind(default_names(layout.bands - alpha), samples, False, alpha)


def default_names(count: int) -> tuple[str, ...]:
    """The names of bands in files that do not name them."""
    return {3: COLOURS, 4: BANDS["tif"]}.get(count) or numbered_names(count)


def has_alpha(data: bytes, layout: TiffLayout) -> bool:
    """Whether the last sample is an alpha channel: in pictures of bytes only. In others this tag is
    on the near infrared, too, since writers call every fourth band so."""
    if layout.bits != 8 or layout.bands not in (2, 4):
        return False
    extra = tiff.read_tags(data, None, (tiff.EXTRA_SAMPLES,)).get(tiff.EXTRA_SAMPLES, ())
    return len(extra) == 1 and extra[0] in _ALPHAS


def choose_samples(data: bytes, layout: TiffLayout, preprocessing: Preprocessing) -> BandChoice:
    """The samples of a chip that a model takes, as `fit_kind` chooses them.

    Raises:
        ChipRejected: wrong_bands: the chip does not fit.
    """
    stored = preprocessing.stored
    if preprocessing.stored_bands:
        return fit_kind(read_kind(data, layout), read_band_tags(data, layout.bands), preprocessing)
    if (layout.bands, layout.samples) != (len(stored), preprocessing.samples):
        raise ChipRejected(Reason.WRONG_BANDS, f"{layout.mode}, not {preprocessing.kind}")
    if preprocessing.bands == stored:
        return _ALL
    return BandChoice(tuple(map(stored.index, preprocessing.bands)))


def in_order(positions: tuple[int, ...], count: int) -> tuple[int, ...] | None:
    """The positions; None if they are all samples in their order."""
    return None if positions == tuple(range(count)) else positions


def fit_kind(kind: TifKind, tags: BandTags, preprocessing: Preprocessing) -> BandChoice:
    """The samples that a model takes, which has `stored_bands`: by the names of the bands if the
    file names all of them, else by their positions.

    Whole numbers with a scale become values for a model that was trained on floats.

    Args:
        tags: of all samples.

    Raises:
        ChipRejected: wrong_bands; says what the file has and what the model takes.
    """
    stored, count = preprocessing.stored, len(kind.bands) + kind.alpha
    if kind.alpha and not kind.named and count == len(stored):
        kind = TifKind(stored, kind.samples, named=False)  # trained with the last one as a band
    positions = _positions(kind, preprocessing)
    chosen = in_order(positions, count)
    if kind.samples == preprocessing.samples:
        return BandChoice(chosen, kind.alpha)
    if preprocessing.samples == "float32" and tags.scales:
        scales, offsets = (
            tuple(each[at] for at in positions) for each in (tags.scales, tags.offsets)
        )
        return BandChoice(chosen, kind.alpha, scales, offsets)
    without = " without a scale" if preprocessing.samples == "float32" else ""
    raise _misfit(f"{kind.text}{without}", preprocessing)


def _positions(kind: TifKind, preprocessing: Preprocessing) -> tuple[int, ...]:
    stored, taken = preprocessing.stored, preprocessing.bands
    numbered = stored == numbered_names(len(stored))
    if kind.named and not numbered:
        known = [name.casefold() for name in kind.bands]
        if any(name.casefold() not in known for name in taken):
            raise _misfit(kind.text, preprocessing)
        return tuple(known.index(name.casefold()) for name in taken)
    if len(kind.bands) != len(stored):
        raise _misfit(kind.text, preprocessing)
    return tuple(map(stored.index, taken))


def _misfit(found: str, preprocessing: Preprocessing) -> ChipRejected:
    taken = f"{', '.join(preprocessing.bands)} of {preprocessing.kind}"
    return ChipRejected(Reason.WRONG_BANDS, f"{found}, and the model takes {taken}")
