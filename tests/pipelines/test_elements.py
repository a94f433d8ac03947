"""Elements know their size and refuse to cross a shuffle."""

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam import coders

from pipelines.elements import REJECTED, ChipBatch, FusedOnlyCoder

_BATCH = ChipBatch(
    0, True, pa.table({"a": [1, 2]}), np.zeros((2, 8, 8, 3), np.uint8), REJECTED.empty_table()
)


def _make_batch(_: int) -> ChipBatch:
    return _BATCH


def test_the_coder_estimates_the_size_of_elements_without_encoding_them():
    coder = coders.registry.get_coder(ChipBatch)
    assert isinstance(coder, FusedOnlyCoder)
    assert coder.estimate_size(_BATCH) == 2 * 8 * 8 * 3 + _BATCH.chips.nbytes


def test_a_graph_that_would_send_pixels_across_a_shuffle_fails():
    pipeline = beam.Pipeline(runner="FnApiRunner")
    (
        pipeline
        | beam.Create([1], reshuffle=False)
        | beam.Map(_make_batch).with_output_types(ChipBatch)
        | beam.Reshuffle()
        | beam.Map(lambda batch: batch.unit)
    )
    with pytest.raises(Exception, match="a ChipBatch must not cross a shuffle"):
        pipeline.run()
