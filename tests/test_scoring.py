"""Batches are scored whole, in halves where memory is short, and bad scores are rejected."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.classifier import DeviceOutOfMemory
from pipelines.elements import REJECTED, ChipBatch
from pipelines.scoring import score_batch, score_in_halves
from schemas.render import file_schema
from schemas.tables import CHIP_COLUMNS, CHIP_MANIFEST


class SmallDevice:
    """A classifier of two labels whose scores are a chip's number; some chips never fit."""

    labels = 2
    precision = "float32"

    def __init__(self, memory: int, never: tuple[int, ...] = ()) -> None:
        self._memory, self._never = memory, never
        self.calls: list[int] = []

    def score(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        numbers = pixels[:, 0, 0, 0]
        self.calls.append(len(numbers))
        if len(numbers) > self._memory or set(numbers.tolist()) & set(self._never):
            raise DeviceOutOfMemory
        scores = np.repeat(numbers[:, None], 2, axis=1).astype(np.float32) / 256
        scores[numbers == 13, 1] = np.nan
        return scores


def _batch(count: int) -> ChipBatch:
    pixels = np.zeros((count, 2, 2, 3), np.uint8)
    pixels[:, 0, 0, 0] = range(count)
    names = [column.name for column in CHIP_COLUMNS]
    rows = [{"chip_uri": f"/{i}.jpg", "chip_id": str(i)} for i in range(count)]
    chips = pa.Table.from_pylist(rows, file_schema(CHIP_MANIFEST)).select(names)
    return ChipBatch(3, True, chips, pixels, REJECTED.empty_table())


def test_a_batch_that_fits_is_scored_in_one_call() -> None:
    device = SmallDevice(memory=8)
    scores, fits = score_in_halves(_batch(8).pixels, device)
    assert device.calls == [8]
    assert scores[:, 0].tolist() == [i / 256 for i in range(8)]
    assert fits.all()


def test_a_batch_too_large_is_halved_until_it_fits_with_every_chip_in_its_place() -> None:
    device = SmallDevice(memory=3)
    scores, fits = score_in_halves(_batch(11).pixels, device)
    assert scores[:, 1].tolist() == [i / 256 for i in range(11)]
    assert fits.all()
    assert device.calls == [11, 5, 2, 3, 6, 3, 3]


def test_a_chip_that_does_not_even_fit_alone_is_given_up_and_the_others_go_on() -> None:
    scored = score_batch(_batch(10), SmallDevice(memory=8, never=(6,)))
    assert scored.chips["chip_id"].to_pylist() == [str(i) for i in range(10) if i != 6]
    assert scored.scores[:, 0].tolist() == [i / 256 for i in range(10) if i != 6]
    assert scored.rejected["chip_id"].to_pylist() == ["6"]
    assert scored.rejected["reason"].to_pylist() == ["out_of_memory"]


def test_a_chip_whose_scores_are_not_all_numbers_is_given_up() -> None:
    scored = score_batch(_batch(15), SmallDevice(memory=99))
    assert "13" not in scored.chips["chip_id"].to_pylist()
    assert scored.rejected["chip_id"].to_pylist() == ["13"]
    assert scored.rejected["reason"].to_pylist() == ["non_finite_score"]
    assert np.isfinite(scored.scores).all()
