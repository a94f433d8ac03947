"""How a chip's bytes become a network's input."""

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from schemas.networks.keras_file import ArtifactError

MediaType = Literal["jpg", "tif", "png"]
SampleType = Literal["uint8", "uint16", "int16", "float32"]

MEDIA_TYPES: tuple[MediaType, ...] = get_args(MediaType)
"""All of them, the one that is chosen first if there are several in front."""

BANDS: dict[MediaType, tuple[str, ...]] = {
    "jpg": ("red", "green", "blue"),
    "tif": ("blue", "green", "red", "near_infrared"),
    "png": ("red", "green", "blue"),
}
"""The bands of a chip of each media type, in the order in which they are stored. A tif may have
others: `Preprocessing.stored_bands`."""

EXTENSIONS: dict[str, MediaType] = {
    ".jpg": "jpg",
    ".jpeg": "jpg",
    ".tif": "tif",
    ".tiff": "tif",
    ".png": "png",
}
"""File name extensions of chips, in lower case."""

SAMPLE_BYTES: dict[SampleType, int] = {"uint8": 1, "uint16": 2, "int16": 2, "float32": 4}
MOST_BANDS = 16
_MOST_LETTERS = 64
_BYTES_PER_PIXEL = 8  # 4 bands x uint16, the heaviest chip without `stored_bands`
_HEADER_BYTES = 1 << 20
_MOST_IMAGE_SIZE = 8192


@dataclass(frozen=True)
class Preprocessing:
    """How a chip's bytes become the model's input, `uint8 [image_size, image_size, bands]`.

    Attributes:
        media_type: the kind of chip that the model was trained on, and the only one it scores.
        image_size: side of the model's input in pixels; chips are area-averaged to it.
        bands: names of the bands in the order of the model's input channels.
        scaling: for tif, (low, high) of each band: the radiometric values that become 0 and 255,
            linear between them and clipped outside; None for jpg and png, and mostly for tifs of
            uint8, whose values are kept.
        accepted_sides_px: shortest and longest side of a chip that can be scored.
        stored_bands: for tif, names of all bands of a chip in the order in which they are stored.
            () for the four of `BANDS` as uint16, by their positions, whatever a file calls them.
        sample_type: of such a tif; None without `stored_bands`.
    """

    media_type: MediaType
    image_size: int
    bands: tuple[str, ...]
    scaling: tuple[tuple[float, float], ...] | None
    accepted_sides_px: tuple[int, int]
    stored_bands: tuple[str, ...] = ()
    sample_type: SampleType | None = None

    def __post_init__(self) -> None:
        if self.media_type not in BANDS:
            raise ArtifactError(f"media_type must be {_or(BANDS)}, not {self.media_type!r}")
        if not 1 <= self.image_size <= _MOST_IMAGE_SIZE:
            raise ArtifactError(
                f"image_size must be 1 to {_MOST_IMAGE_SIZE}, not {self.image_size}"
            )
        self._check_stored()
        unknown = sorted(set(self.bands) - set(self.stored))
        if unknown or not self.bands:
            known = ", ".join(self.stored)
            raise ArtifactError(f"bands {unknown} are not among a {self.media_type}'s: {known}")
        if len(set(self.bands)) < len(self.bands):
            raise ArtifactError(f"a band is named twice: {', '.join(self.bands)}")
        self._check_scaling()
        shortest, longest = self.accepted_sides_px
        if not 1 <= shortest <= longest:
            raise ArtifactError(f"accepted_sides_px {shortest}..{longest} is not a range")

    def _check_stored(self) -> None:
        if bool(self.stored_bands) != (self.sample_type is not None):
            raise ArtifactError("stored_bands and sample_type go together")
        if not self.stored_bands:
            return
        if self.media_type != "tif":
            raise ArtifactError(f"a {self.media_type} model has no stored_bands")
        if self.sample_type not in get_args(SampleType):
            known = _or(get_args(SampleType))
            raise ArtifactError(f"sample_type must be {known}, not {self.sample_type!r}")
        if len(self.stored_bands) > MOST_BANDS:
            raise ArtifactError(f"{len(self.stored_bands)} stored_bands, at most {MOST_BANDS}")
        if wrong := [name for name in self.stored_bands if not is_band_name(name)]:
            raise ArtifactError(f"{wrong[0]!r} cannot be the name of a band")
        if len({name.casefold() for name in self.stored_bands}) < len(self.stored_bands):
            raise ArtifactError(f"a band is stored twice: {', '.join(self.stored_bands)}")

    def _check_scaling(self) -> None:
        if self.media_type == "tif" and self.samples != "uint8" and self.scaling is None:
            raise ArtifactError(f"a tif model of {self.samples} needs scaling")
        if self.media_type != "tif" and self.scaling is not None:
            raise ArtifactError(f"a {self.media_type} model has no scaling")
        if self.scaling is None:
            return
        if len(self.scaling) != len(self.bands):
            raise ArtifactError(f"{len(self.scaling)} scalings for {len(self.bands)} bands")
        if not all(math.isfinite(low) and low < high < math.inf for low, high in self.scaling):
            raise ArtifactError(f"each scaling needs low < high, both finite: {self.scaling}")

    @property
    def stored(self) -> tuple[str, ...]:
        """Names of all bands of a chip, in the order in which they are stored."""
        return self.stored_bands or BANDS[self.media_type]

    @property
    def of_scenes(self) -> tuple[str, ...]:
        """Names of the bands that a scene must have, in the order of `scene_bands` in tables."""
        return self.bands if self.stored_bands else self.stored

    @property
    def samples(self) -> SampleType:
        """Type of a chip's samples."""
        return self.sample_type or ("uint16" if self.media_type == "tif" else "uint8")

    @property
    def kind(self) -> str:
        """What a chip's samples are, such as `4 x uint16`."""
        return f"{len(self.stored)} x {self.samples}"

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape of one chip as the model takes it."""
        return (self.image_size, self.image_size, len(self.bands))

    @property
    def max_bytes(self) -> int:
        """Largest size of an acceptable chip; larger objects are not read."""
        stored = (len(self.stored) + 1) * SAMPLE_BYTES[self.samples]  # one for an alpha channel
        pixel = max(stored, _BYTES_PER_PIXEL) if self.stored_bands else _BYTES_PER_PIXEL
        return self.accepted_sides_px[1] ** 2 * pixel + _HEADER_BYTES

    def to_dict(self) -> dict[str, Any]:
        """As plain data. Fields that older artifacts lack are left out at their defaults, so that
        digests of those stay what they are."""
        data = asdict(self)
        for name in ("stored_bands", "sample_type"):
            if not data[name]:
                del data[name]
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Preprocessing":
        """Rebuild one from its `to_dict`, read from JSON."""
        scaling, sides = data["scaling"], data["accepted_sides_px"]
        return cls(
            media_type=data["media_type"],
            image_size=int(data["image_size"]),
            bands=tuple(data["bands"]),
            scaling=None if scaling is None else tuple((float(a), float(b)) for a, b in scaling),
            accepted_sides_px=(int(sides[0]), int(sides[1])),
            stored_bands=tuple(data.get("stored_bands", ())),
            sample_type=data.get("sample_type"),
        )


def is_band_name(name: object) -> bool:
    """Whether something can be the name of a band: 1 to 64 characters that can be printed, without
    a comma, and not a number."""
    if not isinstance(name, str) or not 0 < len(name) <= _MOST_LETTERS:
        return False
    return name.isprintable() and name == name.strip() and "," not in name and not name.isdigit()


def _or(names: Collection[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}"
