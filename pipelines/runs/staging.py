"""Rows to files: a unit is staged as a whole, once its last batch is there.

A staged unit is a scores file, a quarantine file and a record of both. The record is written last,
so if it exists, the files do. It is never overwritten: if a unit is scored twice (a retried bundle,
a run that was started twice), the first record counts, and every publisher of the run publishes the
same rows.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter, time

import apache_beam as beam
import pyarrow as pa

from pipelines import metrics
from pipelines.elements import NOTHING_SPENT, LabelledBatch, Spent
from pipelines.errors import StorageError
from pipelines.run_log import event
from pipelines.runs.run_plan import UNITS_FOLDER, read_json, refuse_unknown
from pipelines.storage import store
from pipelines.tables.parquet_files import parquet_bytes

_RECORD = ".json"
_READ_THREADS = 16


@dataclass(frozen=True)
class StagedFile:
    """A Parquet file in staging.

    Attributes:
        uri: where it is staged.
        rows: chips in it.
        size_bytes: size of the file.
        night: run date of its rows, YYYY-MM-DD; "" for the run's own.
    """

    uri: str
    rows: int
    size_bytes: int
    night: str = ""


@dataclass(frozen=True)
class StagedUnit:
    """The record of a staged unit, stored next to its files and read at publication.

    Attributes:
        number: the unit's number.
        scores, quarantine: its files, None if there are no such rows.
        reasons: quarantined chips by reason.
        precision: the precision that the model computed in.
        spent: bytes and time that its chips took.
        started_at: when the engine that scored it was started, in seconds since 1970 (UTC); 0 if
            unknown, as in earlier releases.
        staged_at: when it was staged; 0 if unknown.
        engine: what computed the model; "" if unknown.
    """

    number: int
    scores: StagedFile | None
    quarantine: StagedFile | None
    reasons: dict[str, int]
    precision: str
    spent: Spent = NOTHING_SPENT
    started_at: float = 0.0
    staged_at: float = 0.0
    engine: str = ""

    @property
    def scored(self) -> int:
        """Chips with scores."""
        return self.scores.rows if self.scores else 0

    @property
    def quarantined(self) -> int:
        """Chips in quarantine."""
        return self.quarantine.rows if self.quarantine else 0

    def to_json(self) -> str:
        """One line of JSON; `from_json` is its inverse."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> StagedUnit:
        """Read what `to_json` wrote.

        Raises:
            UsageError: a later release wrote it.
        """
        data = json.loads(text)
        refuse_unknown(cls, data, f"staged unit {data.get('number')}")
        for name in ("scores", "quarantine"):
            data[name] = StagedFile(**data[name]) if data[name] else None
        return cls(**{**data, "spent": Spent(**data["spent"])})


@dataclass(eq=False)
class StageUnits(beam.PTransform):
    """Labelled batches to staged files; returns the staged units' records as JSON.

    Attributes:
        staging: address of the run's staging folder.
        started_at: when the engine was started, in seconds since 1970 (UTC).
    """

    staging: str
    started_at: float = 0.0

    def expand(self, batches: beam.PCollection[LabelledBatch]) -> beam.PCollection[str]:
        """One DoFn."""
        fn = StageUnitsFn(self.staging, self.started_at)
        return batches | beam.ParDo(fn).with_output_types(str)


@dataclass(eq=False)
class StageUnitsFn(beam.DoFn):
    """Collects a unit's batches, which fusion brings in order and in one bundle."""

    staging: str
    started_at: float = 0.0

    def start_bundle(self) -> None:
        """Forget what a failed bundle may have left."""
        self._batches: list[LabelledBatch] = []

    def process(self, batch: LabelledBatch) -> Iterator[str]:
        """Collect the batch; after its last batch write the unit."""
        if self._batches and self._batches[0].unit != batch.unit:
            raise RuntimeError(f"unit {self._batches[0].unit} ended without its last batch")
        self._batches.append(batch)
        if batch.last:
            yield stage_unit(self._batches, self.staging, self.started_at).to_json()
            self._batches = []

    def finish_bundle(self) -> None:
        """Fail if a unit is incomplete.

        Raises:
            RuntimeError: batches without their unit's last one.
        """
        if self._batches:
            raise RuntimeError(f"unit {self._batches[0].unit} ended without its last batch")


def stage_unit(batches: list[LabelledBatch], staging: str, started_at: float = 0.0) -> StagedUnit:
    """Write one unit's files and then its record; returns the record that counts.

    Args:
        started_at: when the engine was started, in seconds since 1970 (UTC); 0 if unknown.

    Raises:
        StorageError: staging cannot be written.
    """
    number, began = batches[0].unit, perf_counter()
    rows = pa.concat_tables(batch.rows for batch in batches)
    quarantine = pa.concat_tables(batch.quarantine for batch in batches)
    ours = _own_stem(staging, number)
    unit = StagedUnit(
        number=number,
        scores=_write_rows(rows, f"{ours}.scores.parquet"),
        quarantine=_write_rows(quarantine, f"{ours}.quarantine.parquet"),
        reasons=dict(Counter(quarantine["reason"].to_pylist())),
        precision=batches[0].precision,
        spent=sum((batch.spent for batch in batches), NOTHING_SPENT),
        started_at=started_at,
        staged_at=time(),
        engine=batches[0].engine,
    )
    unit = replace(unit, spent=unit.spent + Spent(stage_ms=1000 * (perf_counter() - began)))
    return _store_record(unit, staging)


def stage_scores(number: int, data: bytes, rows: int, night: str, staging: str) -> StagedUnit:
    """Stage a unit without quarantined chips; returns the record that counts.

    Args:
        data: the scores file, with `rows` rows.
        night: run date of the rows.

    Raises:
        StorageError: staging cannot be written.
    """
    uri = f"{_own_stem(staging, number)}.scores.parquet"
    store.write_bytes(uri, data)
    unit = StagedUnit(number, StagedFile(uri, rows, len(data), night), None, {}, precision="")
    return _store_record(unit, staging)


def _own_stem(staging: str, number: int) -> str:
    """A new name for a unit's files: a second attempt must not overwrite files of a record."""
    return f"{_stem(staging, number)}-{uuid.uuid4().hex[:8]}"


def _stem(staging: str, number: int) -> str:
    return store.join_uri(staging, UNITS_FOLDER, f"{number:06d}")


def _store_record(unit: StagedUnit, staging: str) -> StagedUnit:
    uri = f"{_stem(staging, unit.number)}{_RECORD}"
    if store.create_bytes(uri, unit.to_json().encode()):
        metrics.count_unit(unit.spent.stage_ms)
        fields = {"scored": unit.scored, "reasons": unit.reasons, **asdict(unit.spent)}
        event("unit_staged", unit=unit.number, **fields)
        return unit
    return _read_record(uri)


def staged_numbers(staging: str) -> list[int]:
    """Numbers of the units that are completely staged, in order.

    Raises:
        StorageError: staging cannot be listed.
    """
    folder = store.join_uri(staging, UNITS_FOLDER)
    try:
        names = [uri for table in store.list_objects(folder) for uri in table["uri"].to_pylist()]
    except StorageError:
        if store.is_remote(folder) or Path(folder).is_dir():
            raise
        return []  # nothing was staged yet
    return sorted(int(store.file_stem(name)) for name in names if name.endswith(_RECORD))


def read_units(staging: str, numbers: Collection[int]) -> list[StagedUnit]:
    """The records of some staged units.

    Raises:
        StorageError: one of them is missing or not whole.
    """
    uris = [f"{_stem(staging, number)}{_RECORD}" for number in numbers]
    with ThreadPoolExecutor(_READ_THREADS) as pool:
        return list(pool.map(_read_record, uris))


def _read_record(uri: str) -> StagedUnit:
    return read_json(uri, StagedUnit.from_json, "is not whole: delete it to score its unit again")


def _write_rows(table: pa.Table, uri: str) -> StagedFile | None:
    if not table.num_rows:
        return None
    data = parquet_bytes(table)
    store.write_bytes(uri, data)
    return StagedFile(uri, table.num_rows, len(data))
