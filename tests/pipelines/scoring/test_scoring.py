"""Batches are scored at once, or in halves if memory is short; bad scores are rejected."""

from __future__ import annotations

import pickle
import threading
import time

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from apache_beam.testing.util import assert_that, equal_to

from pipelines.elements import REJECTED, ChipBatch
from pipelines.metrics import chips_counted
from pipelines.scoring.devices import DeviceOutOfMemory
from pipelines.scoring.scoring import (
    ScoreAhead,
    ScoreChips,
    ScoredBatch,
    SharedModel,
    score_batch,
    score_in_halves,
)
from schemas.chip_columns import CHIP_NAMES
from schemas.render import file_schema
from schemas.tables import CHIP_MANIFEST


class SmallDevice:
    """A classifier of two labels whose scores are a chip's number; some chips never fit."""

    labels = 2
    precision, engine = "float32", "tensorflow"
    calls_in_flight = 1

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


class Gpu(SmallDevice):
    """The same, called by several threads; of three calls the first takes longest."""

    calls_in_flight = 3

    def __init__(self, memory: int = 99, never: tuple[int, ...] = ()) -> None:
        super().__init__(memory, never)
        self.begun = self.at_a_time = self.most_at_a_time = 0
        self._lock = threading.Lock()

    def score(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        with self._lock:
            self.begun += 1
            self.at_a_time += 1
            self.most_at_a_time = max(self.most_at_a_time, self.at_a_time)
            seconds = (0.005, 0.03, 0.015)[self.begun % 3]
        time.sleep(seconds)
        with self._lock:
            self.at_a_time -= 1
            return super().score(pixels)


def _batch(count: int) -> ChipBatch:
    pixels = np.zeros((count, 2, 2, 3), np.uint8)
    pixels[:, 0, 0, 0] = range(count)
    names = [*CHIP_NAMES]
    rows = [{"chip_uri": f"/{i}.jpg", "chip_id": str(i)} for i in range(count)]
    chips = pa.Table.from_pylist(rows, file_schema(CHIP_MANIFEST)).select(names)
    return ChipBatch(3, True, chips, pixels, REJECTED.empty_table())


def test_a_batch_that_fits_is_scored_in_one_call() -> None:
    device = SmallDevice(memory=8)
    scores, fits = score_in_halves(_batch(8).pixels, device)
    assert device.calls == [8]
    assert scores[:, 0].tolist() == [i / 256 for i in range(8)]
    assert fits.all()


def test_a_batch_that_is_too_large_is_halved_until_it_fits_and_keeps_its_order() -> None:
    device = SmallDevice(memory=3)
    scores, fits = score_in_halves(_batch(11).pixels, device)
    assert scores[:, 1].tolist() == [i / 256 for i in range(11)]
    assert fits.all()
    assert device.calls == [11, 5, 2, 3, 6, 3, 3]


def test_a_chip_that_does_not_even_fit_alone_is_rejected_and_the_others_are_scored() -> None:
    scored = score_batch(_batch(10), SmallDevice(memory=8, never=(6,)))
    assert scored.chips["chip_id"].to_pylist() == [str(i) for i in range(10) if i != 6]
    assert scored.scores[:, 0].tolist() == [i / 256 for i in range(10) if i != 6]
    assert scored.rejected["chip_id"].to_pylist() == ["6"]
    assert scored.rejected["reason"].to_pylist() == ["out_of_memory"]


def test_a_chip_whose_scores_are_not_all_finite_is_rejected() -> None:
    scored = score_batch(_batch(15), SmallDevice(memory=99))
    assert "13" not in scored.chips["chip_id"].to_pylist()
    assert scored.rejected["chip_id"].to_pylist() == ["13"]
    assert scored.rejected["reason"].to_pylist() == ["non_finite_score"]
    assert np.isfinite(scored.scores).all()


# --- Several calls at a time --------------------------------------------------------------------


def _batches(counts: list[int]) -> list[ChipBatch]:
    """Batches of two units with different chips."""
    batches, first = [], 0
    for number, count in enumerate(counts):
        pixels = np.zeros((count, 2, 2, 3), np.uint8)
        pixels[:, 0, 0, 0] = range(first, first + count)
        batch, half = _batch(count), len(counts) // 2
        names = pa.array([str(i) for i in range(first, first + count)])
        column = batch.chips.schema.get_field_index("chip_id")
        chips = batch.chips.set_column(column, batch.chips.schema.field("chip_id"), names)
        last = number in (half - 1, len(counts) - 1)
        batches.append(ChipBatch(int(number >= half), last, chips, pixels, batch.rejected))
        first += count
    return batches


def _run(batches: list[ChipBatch], device: SmallDevice) -> list[ScoredBatch]:
    ahead = ScoreAhead(device)
    scored = [found for batch in batches for found in ahead.score(batch)]
    return [*scored, *ahead.drain()]


def _rows(scored: list[ScoredBatch]) -> list[tuple[int, bool, list[str], list, list]]:
    return [
        (b.unit, b.last, b.chips["chip_id"].to_pylist(), b.scores.tolist(), b.rejected.to_pylist())
        for b in scored
    ]


@pytest.mark.parametrize("counts", [[4], [5, 3], [6, 6, 2, 6, 6, 1], [1] * 12])
def test_batches_scored_at_the_same_time_have_the_rows_of_batches_scored_in_turn(counts) -> None:
    """Including chip 6, which never fits in memory, and chip 13, which has no finite scores."""
    in_turn = _run(_batches(counts), SmallDevice(memory=4, never=(6,)))
    together = _run(_batches(counts), Gpu(memory=4, never=(6,)))
    assert _rows(together) == _rows(in_turn)


def test_a_gpu_has_three_calls_in_flight_and_a_cpu_one() -> None:
    gpu, processor = Gpu(), SmallDevice(memory=99)
    _run(_batches([1] * 12), gpu)
    assert gpu.most_at_a_time == 3
    ahead = ScoreAhead(processor)
    for batch in _batches([1] * 12):
        (scored,) = ahead.score(batch)  # nothing is held back
        assert scored.chips.equals(batch.chips)


def test_a_batch_is_halved_when_nothing_else_is_on_the_device() -> None:
    class Alone(Gpu):
        def score(self, pixels):
            if threading.current_thread() is threading.main_thread():
                assert self.at_a_time == 0
            return super().score(pixels)

    device = Alone(memory=4)
    scored = _run(_batches([2, 6, 2, 2]), device)
    assert [batch.chips.num_rows for batch in scored] == [2, 6, 2, 2]
    assert sorted(device.calls) == [2, 2, 2, 3, 3, 6, 6]


def test_an_error_other_than_out_of_memory_fails_the_bundle() -> None:
    class Broken(Gpu):
        def score(self, pixels):
            raise RuntimeError("illegal address")

    with pytest.raises(RuntimeError, match="illegal address"):
        _run(_batches([4] * 4), Broken())


class _OnGpu:
    """What `ScoreChips` asks of a shared model."""

    def classifier(self) -> Gpu:
        return Gpu(memory=4, never=(6,))


def test_the_transform_yields_every_batch_in_order_and_counts_its_chips_once(tmp_path) -> None:
    before = chips_counted()
    batches = _batches([6, 6, 2, 6, 6, 1])

    def expected(scored: ScoredBatch) -> str:
        return f"{scored.unit} {scored.last} {scored.chips['chip_id'].to_pylist()}"

    with beam.Pipeline("apache_beam.runners.portability.fn_api_runner.FnApiRunner") as pipeline:
        found = (
            pipeline
            | beam.Create([0], reshuffle=False)
            | beam.FlatMap(lambda _: batches).with_output_types(ChipBatch)
            | ScoreChips(_OnGpu())
            | beam.Map(expected)
        )
        assert_that(found, equal_to([expected(b) for b in _run(batches, Gpu(4, (6,)))]))
    assert chips_counted() - before == sum(batch.chips.num_rows for batch in batches)


# --- One model a process ------------------------------------------------------------------------


def test_dofns_of_a_process_share_one_model_and_agree_on_the_batch_size(monkeypatch) -> None:
    loaded = []

    class Loaded:
        batch_size = 1024
        precision, engine = "bfloat16", "openvino"

        def __init__(self, *args) -> None:
            loaded.append(args)

    monkeypatch.setattr("pipelines.scoring.scoring.Classifier", Loaded)
    monkeypatch.setattr("pipelines.scoring.scoring.open_artifact", lambda *asked: asked[:2])
    model = SharedModel("gs://models/a", "digest", "auto", None, 5000)
    copies = [pickle.loads(pickle.dumps(model)) for _ in range(3)]
    classifiers = [copy.classifier() for copy in copies]
    assert classifiers[0] is classifiers[1] is classifiers[2]
    assert [copy.ask_batch_size() for copy in copies] == [1024] * 3
    assert loaded == [("gs://models/a", "digest", "auto", None, 5000, "auto")]


def test_a_given_batch_size_is_used_without_loading_the_model() -> None:
    assert SharedModel("/nowhere", "digest", "auto", 7, 0).ask_batch_size() == 7
