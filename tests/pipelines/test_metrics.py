"""Beam's metrics: each name once, and the engine counts what the rows say."""

from __future__ import annotations

import re
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.metrics import MetricsFilter

from pipelines import metrics
from pipelines.elements import ChipBatch, Spent, Unit
from pipelines.reading.reading_ahead import ReadAhead
from pipelines.scoring.scoring import ScoreChipsFn
from schemas.render import file_schema
from schemas.tables import CHIP_MANIFEST, QuarantineReason
from tests.support.quick_scoring import QuickClassifier
from tests.support.samples import JPG, write_chips


def test_each_metric_has_one_name_that_bigquery_and_prometheus_take() -> None:
    names = [*metrics.COUNTERS, *metrics.DISTRIBUTIONS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in names)


def test_each_metric_is_explained_to_operators() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()
    by_reason = metrics.quarantined_for("<reason>")
    names = {*metrics.COUNTERS, *metrics.DISTRIBUTIONS}
    names -= {metrics.quarantined_for(reason) for reason in QuarantineReason}
    assert {name for name in [*names, by_reason] if f"`{name}`" not in page} == set()


def test_an_engine_counts_outcomes_bytes_and_times(tmp_path) -> None:
    paths = write_chips(tmp_path, 6)
    paths[1].write_bytes(b"")
    paths[4].write_bytes(b"no picture")

    def read(_: int):
        yield from _read(paths)

    runner = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
    pipeline = beam.Pipeline(runner)
    numbers = pipeline | beam.Create([0], reshuffle=False)
    batches = numbers | beam.FlatMap(read).with_output_types(ChipBatch)
    batches | beam.ParDo(ScoreChipsFn(QuickClassifier)) | beam.Map(lambda _: None)
    result = pipeline.run()

    counters = _query(result, "counters")
    assert counters == {
        "chips_scored": 4,
        "chips_quarantined": 2,
        "chips_quarantined_empty": 1,
        "chips_quarantined_not_an_image": 1,
        "bytes_read": sum(path.stat().st_size for path in paths),
    }
    distributions = _query(result, "distributions")
    assert (distributions["batch_chips"].count, distributions["batch_chips"].sum) == (2, 4)
    assert {"read_ms", "decode_ms", "wait_ms", "score_ms"} <= distributions.keys()


def _read(paths):
    rows = [{"chip_uri": str(path), "chip_id": path.stem} for path in paths]
    chips = pa.Table.from_pylist(rows, file_schema(CHIP_MANIFEST))
    ahead = ReadAhead(JPG, 3)
    yield from ahead.read(Unit(0, chips))
    yield from ahead.drain()


def _query(result, kind: str) -> dict:
    filter_ = MetricsFilter().with_namespace(metrics.NAMESPACE)
    return {m.key.metric.name: m.committed for m in result.metrics().query(filter_)[kind]}


def test_bytes_and_times_of_chips_can_be_added() -> None:
    one, two = Spent(10, 1.0, 2.0, 3.0, 4.0, 5.0), Spent(1, 0.5, 0.5, 0.5, 0.5, 0.5)
    assert one + two == Spent(11, 1.5, 2.5, 3.5, 4.5, 5.5)


def test_reading_reports_its_bytes_and_times(tmp_path) -> None:
    paths = write_chips(tmp_path, 6)
    batches = list(_read(paths))
    assert sum(batch.spent.bytes_read for batch in batches) == sum(
        path.stat().st_size for path in paths
    )
    for batch in batches:
        assert batch.spent.read_ms > 0
        assert batch.spent.decode_ms > 0
        assert np.isfinite(batch.spent.wait_ms)
