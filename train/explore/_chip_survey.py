"""One pass over all chips, in bounded memory: average chip by label, kinds of files, damaged files.

Only sums are kept: memory holds a chunk of chips and one picture per label.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.errors import ChipRejected
from pipelines.imaging.decoding import decode_chip, read_header
from pipelines.imaging.resize import Pixels
from schemas.artifact import Preprocessing
from schemas.labels import LabelSet
from train.data.examples import READING_THREADS, read_training_chip, truth_of

_CHIPS_A_CHUNK = 128  # 128 x 255 is summed exactly in float32


class ChipKind(NamedTuple):
    """How chips are stored, from their headers."""

    mode: str
    width_px: int
    height_px: int


@dataclass(frozen=True)
class ChipSurvey:
    """The results of the pass.

    Attributes:
        label_set: the labels of `averages` and `chips`.
        bands: the bands of `averages`.
        names: labelled chips that could be decoded, in the order of their addresses.
        averages: `float64 [labels + 1, S, S, bands]`, 0 to 255: the mean chip of each label,
            pixel by pixel, and last that of all labelled chips; NaN if there is no chip.
        chips: number of chips in each of `averages`.
        kinds: decoded chips, labelled or not, by kind.
        damaged: why a chip could not be decoded, by address.
    """

    label_set: LabelSet
    bands: tuple[str, ...]
    names: tuple[str, ...]
    averages: npt.NDArray[np.float64]
    chips: npt.NDArray[np.int64]
    kinds: Mapping[ChipKind, int]
    damaged: Mapping[str, ChipRejected]

    @property
    def mean_colours(self) -> npt.NDArray[np.float64]:
        """`float64 [labels + 1, bands]`: the mean of each band, rows as in `averages`."""
        means: npt.NDArray[np.float64] = self.averages.mean(axis=(1, 2))
        return means


def survey_chips(
    uris: Sequence[str],
    labelled_uris: Mapping[str, str],
    tags: Mapping[str, frozenset[str]],
    label_set: LabelSet,
    preprocessing: Preprocessing,
) -> ChipSurvey:
    """Read and decode each chip once and sum up.

    Args:
        uris: the chips, labelled or not.
        labelled_uris: addresses of the labelled ones by chip name.
        tags: labels by chip name.
    """
    rows = len(label_set.names) + 1
    sums = np.zeros((rows, *preprocessing.input_shape))
    chips = np.zeros(rows, np.int64)
    kinds: Counter[ChipKind] = Counter()
    damaged: dict[str, ChipRejected] = {}
    names: list[str] = []
    name_of = {uri: name for name, uri in labelled_uris.items()}
    for chunk in _look_at(uris, preprocessing):
        damaged |= {u: look for u, look in chunk.items() if isinstance(look, ChipRejected)}
        seen = {u: look for u, look in chunk.items() if isinstance(look, tuple)}
        kinds.update(kind for _, kind in seen.values())
        labelled = {name_of[u]: pixels for u, (pixels, _) in seen.items() if u in name_of}
        if labelled:
            names += labelled
            truth = truth_of([tags[name] for name in labelled], label_set)
            _add(sums, chips, np.stack(list(labelled.values())), truth)
    with np.errstate(invalid="ignore"):
        averages = sums / chips[:, None, None, None]
    bands = preprocessing.bands
    return ChipSurvey(label_set, bands, tuple(names), averages, chips, kinds, damaged)


def _look_at(
    uris: Sequence[str], preprocessing: Preprocessing
) -> Iterator[dict[str, tuple[Pixels, ChipKind] | ChipRejected]]:
    """The chips, in chunks."""
    from tqdm import tqdm

    with (
        ThreadPoolExecutor(READING_THREADS) as pool,
        tqdm(total=len(uris), unit=" chips", disable=None) as progress,
    ):
        for start in range(0, len(uris), _CHIPS_A_CHUNK):
            chunk = uris[start : start + _CHIPS_A_CHUNK]
            looks = pool.map(lambda uri: _look(uri, preprocessing), chunk)
            yield dict(zip(chunk, looks, strict=True))
            progress.update(len(chunk))


def _look(uri: str, preprocessing: Preprocessing) -> tuple[Pixels, ChipKind] | ChipRejected:
    try:
        data = read_training_chip(uri)
        pixels, header = decode_chip(data, preprocessing), read_header(data)
        return pixels, ChipKind(header.mode, header.width_px, header.height_px)
    except ChipRejected as rejection:
        return rejection


def _add(
    sums: npt.NDArray[np.float64],
    chips: npt.NDArray[np.int64],
    pixels: Pixels,
    truth: npt.NDArray[np.uint8],
) -> None:
    """Add a chunk to the sums of its labels and to the last sum, of all chips."""
    belongs = np.column_stack([truth, np.ones(len(truth), np.uint8)])
    added = belongs.T.astype(np.float32) @ pixels.reshape(len(pixels), -1).astype(np.float32)
    sums += added.reshape(sums.shape)
    chips += belongs.sum(axis=0, dtype=np.int64)
