"""The graph's first steps: addresses of units, then units, then batches of pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import apache_beam as beam
import pyarrow.parquet as pq
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from pipelines.elements import ChipBatch, Unit
from pipelines.reading.reading_ahead import ReadAhead
from pipelines.storage import store
from pipelines.storage.worker_settings import WorkerSettings
from pipelines.tables.delta_tables import with_columns
from schemas.artifact import Preprocessing
from schemas.render import file_schema
from schemas.tables import CHIP_MANIFEST

_MANIFEST = file_schema(CHIP_MANIFEST)


class UnitAddress(NamedTuple):
    """Where a unit is stored: all that crosses the graph's one Reshuffle."""

    number: int
    manifest_uri: str


@dataclass(eq=False)
class ReadManifest(beam.PTransform):
    """The units of a manifest, spread over the workers by address and read there.

    Attributes:
        manifest_uri: a manifest written by `run_plan.store_plan`.
        units: numbers of the row groups to read.
    """

    manifest_uri: str
    units: Sequence[int]

    def expand(self, pbegin: beam.pvalue.PBegin) -> beam.PCollection[Unit]:
        """Addresses, the Reshuffle, then the row groups."""
        addresses = [UnitAddress(number, self.manifest_uri) for number in self.units]
        return (
            pbegin
            | "Addresses" >> beam.Create(addresses, reshuffle=False)
            | "Spread" >> beam.Reshuffle()
            | "ReadUnits" >> beam.Map(read_unit).with_output_types(Unit)
        )


@dataclass(eq=False)
class ReadChips(beam.PTransform):
    """Units to batches of decoded chips; chips that cannot be decoded are in the batch as rejected.

    Attributes:
        preprocessing: how bytes become pixels, from the artifact.
        batch_size: called on the worker; returns the number of chips in a batch.
        settings: applied on the worker first.
        max_no_data: windows of scenes with a larger share of no data are rejected; None: only
            those without any data.
    """

    preprocessing: Preprocessing
    batch_size: Callable[[], int]
    settings: WorkerSettings | None = None
    max_no_data: float | None = None

    def expand(self, units: beam.PCollection[Unit]) -> beam.PCollection[ChipBatch]:
        """One DoFn, a generator."""
        fn = ReadChipsFn(self.preprocessing, self.batch_size, self.settings, self.max_no_data)
        return units | beam.ParDo(fn).with_output_types(ChipBatch)


@dataclass(eq=False)
class ReadChipsFn(beam.DoFn):
    """Reads ahead over the units of a bundle."""

    preprocessing: Preprocessing
    ask_batch_size: Callable[[], int]
    settings: WorkerSettings | None = None
    max_no_data: float | None = None

    def setup(self) -> None:
        """Apply the settings, and get the batch size."""
        if self.settings:
            self.settings.apply()
        self._batch_size = self.ask_batch_size()

    def start_bundle(self) -> None:
        """Start without the batches of a failed bundle."""
        self._ahead = ReadAhead(self.preprocessing, self._batch_size, self.max_no_data)

    def process(self, unit: Unit) -> Iterator[ChipBatch]:
        """Yield the batches that are due; the unit's last ones are still being read."""
        yield from self._ahead.read(unit)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Yield the remaining batches, in the global window, as all elements are."""
        window = GlobalWindow()
        for batch in self._ahead.drain():
            yield WindowedValue(batch, window.max_timestamp(), [window])


def read_unit(address: UnitAddress) -> Unit:
    """Read one row group of a manifest, and nothing else of it. Columns that the plan of an earlier
    release lacks are null."""
    with store.open_file(address.manifest_uri) as file:
        chips = pq.ParquetFile(file, page_checksum_verification=True).read_row_group(address.number)
    return Unit(address.number, with_columns(chips, _MANIFEST))
