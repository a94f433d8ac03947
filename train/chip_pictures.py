"""Chips as small pictures for the pages of the trainer."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import simplejpeg

from pipelines.blocks.document import Picture, Text
from pipelines.errors import ChipRejected
from pipelines.imaging.band_names import shown_colours
from pipelines.imaging.decoding import decode_chip
from schemas.artifact import Preprocessing
from train.data.examples import READING_THREADS, read_training_chip

SIDE_PX = 128
"""The side of a picture."""

_QUALITY = 85


def picture_chips(
    uris: Mapping[str, str], captions: Mapping[str, Text], preprocessing: Preprocessing
) -> list[Picture]:
    """A picture of each chip that has a caption, read again; only these are in memory.

    Args:
        uris: address by chip.
        captions: by chip, in the order of the pictures.
        preprocessing: how a model reads these chips; a picture has another size.
    """
    shown = replace(preprocessing, image_size=SIDE_PX)

    def draw(chip: str) -> Picture:
        try:
            return Picture(_draw(uris[chip], shown), captions[chip], chip)
        except ChipRejected as rejection:
            return Picture(None, captions[chip], rejection.message)

    with ThreadPoolExecutor(READING_THREADS) as pool:
        return list(pool.map(draw, captions))


def _draw(uri: str, preprocessing: Preprocessing) -> bytes:
    """A chip as a JPEG.

    Raises:
        ChipRejected: it cannot be read or decoded.
    """
    pixels = decode_chip(read_training_chip(uri), preprocessing)
    colours = np.ascontiguousarray(pixels[..., shown_colours(preprocessing.bands)])
    jpeg: bytes = simplejpeg.encode_jpeg(colours, _QUALITY, "RGB")
    return jpeg
