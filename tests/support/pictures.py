"""Pictures and their files, and the reason for which a chip is refused."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from pipelines.errors import ChipRejected
from pipelines.imaging.decoding import decode_chip
from schemas.artifact import Preprocessing
from schemas.tables import QuarantineReason as Reason
from train.sample.encoding import encode_markerless_jpg

ODD_SIZES = [(253, 256), (256, 253), (300, 300), (80, 100), (64, 1024), (64, 64), (65, 127)]
Picture = npt.NDArray[np.uint8]


def draw_picture(height: int = 256, width: int = 256) -> Picture:
    """`uint8 [height, width, 3]`: smooth, and different in every colour and corner."""
    y, x = np.mgrid[0 : 1 : 1j * height, 0 : 1 : 1j * width]
    return np.stack([40 + 180 * y, 200 - 150 * x, 60 + 120 * x * y], -1).astype(np.uint8)


def jpg_of_kind(kind: str, picture: Picture) -> bytes:
    if kind == "markerless":
        return encode_markerless_jpg(picture, quality=95)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=95, progressive=kind == "progressive")
    return buffer.getvalue()


def save_as(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (256, 256)).save(buffer, kind, **options)
    return buffer.getvalue()


def reason_for(data: bytes, preprocessing: Preprocessing) -> Reason:
    with pytest.raises(ChipRejected) as caught:
        decode_chip(data, preprocessing)
    assert "\n" not in caught.value.message
    return caught.value.reason
