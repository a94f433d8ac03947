"""The graph's first steps: addresses of units, then units, then batches of pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import apache_beam as beam
import pyarrow.parquet as pq
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from pipelines.elements import ChipBatch, Unit
from pipelines.reading.reading_ahead import ReadAhead
from pipelines.storage import store
from pipelines.storage.worker_settings import WorkerSettings
from schemas.artifact import Preprocessing


class UnitAddress(NamedTuple):
    """Where a unit is stored: all that crosses the graph's one Reshuffle."""

    number: int
    manifest_uri: str


class ReadManifest(beam.PTransform):
    """The units of a manifest, spread over the workers by address and read there.

    Args:
        manifest_uri: a manifest written by `run_plan.store_plan`.
        units: numbers of the row groups to read.
    """

    def __init__(self, manifest_uri: str, units: Sequence[int]) -> None:
        super().__init__()
        self._addresses = [UnitAddress(number, manifest_uri) for number in units]

    def expand(self, pbegin: beam.pvalue.PBegin) -> beam.PCollection[Unit]:
        """Addresses, the Reshuffle, then the row groups."""
        return (
            pbegin
            | "Addresses" >> beam.Create(self._addresses, reshuffle=False)
            | "Spread" >> beam.Reshuffle()
            | "ReadUnits" >> beam.Map(read_unit).with_output_types(Unit)
        )


class ReadChips(beam.PTransform):
    """Units to batches of decoded chips; chips that cannot be decoded are in the batch as rejected.

    Args:
        preprocessing: how bytes become pixels, from the artifact.
        batch_size: called on the worker; returns the number of chips in a batch.
        settings: applied on the worker first.
    """

    def __init__(
        self,
        preprocessing: Preprocessing,
        batch_size: Callable[[], int],
        settings: WorkerSettings | None = None,
    ) -> None:
        super().__init__()
        self._fn = ReadChipsFn(preprocessing, batch_size, settings)

    def expand(self, units: beam.PCollection[Unit]) -> beam.PCollection[ChipBatch]:
        """One DoFn, a generator."""
        return units | beam.ParDo(self._fn).with_output_types(ChipBatch)


class ReadChipsFn(beam.DoFn):
    """Reads ahead over the units of a bundle."""

    def __init__(
        self,
        preprocessing: Preprocessing,
        batch_size: Callable[[], int],
        settings: WorkerSettings | None = None,
    ) -> None:
        self._preprocessing = preprocessing
        self._ask_batch_size = batch_size
        self._settings = settings

    def setup(self) -> None:
        """Apply the settings, and get the batch size."""
        if self._settings:
            self._settings.apply()
        self._batch_size = self._ask_batch_size()

    def start_bundle(self) -> None:
        """Start without the batches of a failed bundle."""
        self._ahead = ReadAhead(self._preprocessing, self._batch_size)

    def process(self, unit: Unit) -> Iterator[ChipBatch]:
        """Yield the batches that are due; the unit's last ones are still being read."""
        yield from self._ahead.read(unit)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Yield the remaining batches, in the global window, as all elements are."""
        window = GlobalWindow()
        for batch in self._ahead.drain():
            yield WindowedValue(batch, window.max_timestamp(), [window])


def read_unit(address: UnitAddress) -> Unit:
    """Read one row group of a manifest, and nothing else of it."""
    with store.open_file(address.manifest_uri) as file:
        return Unit(address.number, pq.ParquetFile(file).read_row_group(address.number))
