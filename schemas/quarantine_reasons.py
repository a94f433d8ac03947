"""Why chips are quarantined."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class QuarantineReason(StrEnum):
    """Why a chip was not scored: a closed list. A permanent reason is in the bytes or the
    artifact, so a retry would fail again; a temporary one may be gone at the next try.
    NO_DATA is no fault: such chips are normal at the edges of scenes."""

    def __new__(cls, value: str, permanent: bool, description: str) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.permanent = permanent
        member.description = description
        return member

    permanent: bool
    description: str

    EMPTY = "empty", True, "the object has no bytes"
    TRUNCATED = "truncated", True, "the file ends before the picture does"
    NOT_AN_IMAGE = "not_an_image", True, "the bytes are not a picture, whatever the file name says"
    UNSUPPORTED_MEDIA_TYPE = (
        "unsupported_media_type",
        True,
        "a picture, but neither JPEG, GeoTIFF nor PNG (GIF, WebP, BMP ...)",
    )
    MEDIA_TYPE = "media_type", True, "a JPEG, GeoTIFF or PNG for a model that reads another of them"
    WRONG_BANDS = (
        "wrong_bands",
        True,
        "not the bands or the sample type that the model reads, such as 4 x uint16 of a GeoTIFF",
    )
    WRONG_SIZE = "wrong_size", True, "a side shorter than the artifact accepts"
    TOO_LARGE = "too_large", True, "a side longer, or more bytes, than the artifact accepts"
    NO_DATA = (
        "no_data",
        True,
        "every pixel is no data, or 0 (of a window: too many): nothing to see, and not a fault",
    )
    DECODE_ERROR = "decode_error", True, "the decoder failed for another reason"
    NON_FINITE_SCORE = "non_finite_score", True, "the model's scores are not all finite numbers"
    BAD_SHARD = (
        "bad_shard",
        True,
        "a tar of chips that is not a tar, is compressed, or is truncated",
    )
    UNREADABLE = "unreadable", False, "the object could not be fetched from storage"
    OUT_OF_MEMORY = (
        "out_of_memory",
        False,
        "the device had too little memory even for this one chip",
    )
