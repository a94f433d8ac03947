"""How GeoTIFF radiometry becomes 0 to 255: percentiles of the training chips, band by band.

A linear stretch between the 2nd and the 98th percentile of each band is usual for satellite
pictures: the extremes are dead pixels, glints and shadows, and scaling from the minimum to the
maximum would leave only a few grey values for everything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from pipelines.errors import ChipRejected, UsageError
from pipelines.imaging.decoding import check_media_type
from pipelines.imaging.geotiff import read_measured
from pipelines.imaging.resize import Radiometry
from pipelines.imaging.tiff_layout import read_layout
from schemas.artifact import Preprocessing
from train.data.chip_format import ChipFormat
from train.data.examples import READING_THREADS, read_training_chip

PERCENTILES = (2, 98)
"""Percentiles of the training pixels that become 0 and 255."""

MAX_SAMPLED_CHIPS = 1000
MAX_SAMPLED_PIXELS = 64 * 64
"""At most this many chips, and pixels of each, are used for percentiles: 4 million pixels per band
determine them to much less than a grey value, and take 65 MB as floats."""

UNSCALED = (0.0, 65535.0)
"""The range of uint16: the scaling of a band until its percentiles are known."""


def preprocessing_for(
    chips: ChipFormat,
    image_size: int,
    bands: tuple[str, ...],
    training_uris: Sequence[str],
    seed: int,
    scale_uint8: bool = False,
) -> Preprocessing:
    """How chips are preprocessed, as far as known before they are decoded.

    Args:
        bands: those of the model, in the order of its input.
        scale_uint8: whether bytes of tifs are scaled, too; else they keep their values.

    Raises:
        UsageError: none of the tifs can be decoded.
    """
    if chips.samples == "uint8" and not (chips.kind and scale_uint8):
        return chips.preprocessing(image_size, bands, None)
    unscaled = chips.preprocessing(image_size, bands, (UNSCALED,) * len(bands))
    return replace(unscaled, scaling=percentile_scaling(training_uris, unscaled, seed))


def percentile_scaling(
    uris: Sequence[str], preprocessing: Preprocessing, seed: int
) -> tuple[tuple[float, float], ...]:
    """(low, high) for each band from the chips' area-averaged pixels, or from a sample of them.

    The sample depends only on the addresses and the seed. Pixels without data are left out. A band
    that is the same everywhere gets a high of 1 above its low; whole numbers at least that.

    Raises:
        UsageError: none of the chips can be decoded; the message has the first reason.
    """
    pixels = np.concatenate(_read_sample(uris, preprocessing, seed))
    if not len(pixels):
        raise UsageError("none of the training tifs has a pixel without gaps in its bands")
    lows, highs = np.percentile(pixels, PERCENTILES, axis=0, overwrite_input=True).tolist()
    ends = zip(lows, highs, strict=True)
    if preprocessing.samples == "float32":
        return tuple((low, high if high > low else low + 1) for low, high in ends)
    return tuple((low, max(high, low + 1)) for low, high in ends)


def _read_sample(uris: Sequence[str], preprocessing: Preprocessing, seed: int) -> list[Radiometry]:
    """`float32 [pixels, bands]` of each chip of the sample."""
    order = np.random.default_rng(seed).permutation(len(uris))[:MAX_SAMPLED_CHIPS]
    with ThreadPoolExecutor(READING_THREADS) as pool:
        outcomes = list(pool.map(lambda i: _read(uris[i], preprocessing, (seed, i)), order))
    values = [outcome for outcome in outcomes if not isinstance(outcome, ChipRejected)]
    if not values:
        first = next(outcome for outcome in outcomes if isinstance(outcome, ChipRejected))
        raise UsageError(f"none of the {len(order)} training tifs can be decoded: {first.message}")
    return values


def _read(
    uri: str, preprocessing: Preprocessing, seed: tuple[int, int]
) -> Radiometry | ChipRejected:
    try:
        data = read_training_chip(uri)
        check_media_type(data, preprocessing)
        pixels = read_measured(data, read_layout(data), preprocessing)
    except ChipRejected as rejection:
        return rejection
    chosen = np.random.default_rng(seed).permutation(len(pixels))[:MAX_SAMPLED_PIXELS]
    return pixels[chosen]
