"""A run's plan and manifest, written once in the run's staging folder, before any worker starts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from typing import Any, BinaryIO, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.drift.checks import DriftLimits
from pipelines.errors import ObjectDamaged, UsageError
from pipelines.storage import store
from pipelines.tables.durability import sync_written
from schemas.tables import SCORE

_LISTS = ("unit_rows", "threats", "trust", "skipped_files")

UNIT_CHIPS = 4096
"""Chips in a unit, by default: many batches, so that reading ahead pays; few enough to spread a
night over many workers."""

MAX_NO_DATA = 0.5
"""The largest share of no data of a window that is scored, unless a flag says otherwise."""

_SCENES_A_UNIT = 8  # scenes share a unit if at least 8 of their size fit into it

STAGING_FOLDER = "_staging"
UNITS_FOLDER = "units"
T = TypeVar("T")
_PLAN_FILE = "plan.json"
_NOT_WHOLE = (
    "is missing or not whole, as after a power cut: the scoring command with the same --run_id "
    "plans the run again"
)


@dataclass(frozen=True)
class RunPlan:
    """Everything that a run was planned with; stored next to its manifest and sent to the workers.

    Attributes:
        run_id, run_date: name of the run and the night it belongs to (YYYY-MM-DD).
        output: address of the tables.
        artifact: address of the model artifact.
        model_digest, thresholds_digest: digests of the artifact when the run was planned.
        listed: chips found, each counted once.
        skipped: of these, chips that the model had scored or quarantined for good before.
        left_over: of these, chips that are left to the next run.
        unit_rows: number of chips in each unit of the manifest.
        max_quarantine_ratio: if a larger share of the chips is quarantined, nothing is published.
        attempt: 1, or one more than the newest attempt at the same run that any table records.
        options: the options of the run, for its record.
        versions: package to version in the launcher.
        started_at, planned_at: seconds since 1970 (UTC).
        scores_version: version of the table `chip_scores` that was searched for chips done
            before; -1 if the table did not exist.
        token: keeps this plan's manifest apart from that of another planner of the same run.
        kind: what the run does, one of `runs.kind`.
        drift: limits of the drift check, and what happens to a bad night.
        threats: the labels that count as threats from this run on; none: as before.
        trust: the model's labels as rows of `models`, see `schemas.trust`; with another
            `thresholds_digest` than the plan's, if a row has one.
        skipped_files: files of the tables, with their faults, that were left out.
        chips_again: how many of the chips at most are scored again because of that.
    """

    run_id: str
    run_date: str
    output: str
    artifact: str
    model_digest: str
    thresholds_digest: str
    listed: int
    skipped: int
    unit_rows: tuple[int, ...]
    max_quarantine_ratio: float
    attempt: int
    options: Mapping[str, Any]
    versions: Mapping[str, str]
    started_at: float
    planned_at: float
    scores_version: int = -1
    token: str = ""
    kind: str = SCORE
    left_over: int = 0
    drift: DriftLimits = field(default_factory=DriftLimits)
    threats: Sequence[str] = ()
    trust: Sequence[Mapping[str, Any]] = ()
    skipped_files: Sequence[str] = ()
    chips_again: int = 0

    @property
    def to_score(self) -> int:
        """Chips in the manifest."""
        return sum(self.unit_rows)

    @property
    def staging(self) -> str:
        """Address of the folder in which the run's files wait for publication."""
        return staging_of(self.output, self.run_id, self.attempt)

    @property
    def rescore(self) -> bool:
        """Whether the run scores chips again on purpose that were scored before."""
        return bool(self.options.get("rescore"))

    @property
    def max_no_data(self) -> float:
        """Windows of scenes with a larger share of no data are not scored."""
        return float(self.options.get("max_no_data", MAX_NO_DATA))

    @property
    def scores_windows(self) -> bool:
        """Whether the run's chips are windows of scenes."""
        return bool(self.options.get("cut_px"))

    @property
    def manifest(self) -> str:
        """Address of the run's manifest."""
        return store.join_uri(self.staging, f"manifest{self.token}.parquet")

    def to_json(self) -> str:
        """One line of JSON; `from_json` is its inverse."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> RunPlan:
        """Read what `to_json` wrote.

        Raises:
            UsageError: a later release wrote it.
        """
        data = json.loads(text)
        refuse_unknown(cls, data, f"the plan of run {data.get('run_id')!r}")
        drift = DriftLimits(**data.pop("drift", {}))
        lists = {name: tuple(data.get(name, ())) for name in _LISTS}
        return cls(**{**data, **lists, "drift": drift})


def refuse_unknown(kind: type[Any], data: Mapping[str, Any], what: str) -> None:
    """Refuse the stored fields of a dataclass if one of them is unknown.

    Args:
        what: names the data in the message.

    Raises:
        UsageError: it is from a later release; says which fields are unknown.
    """
    if unknown := sorted(data.keys() - {each.name for each in fields(kind)}):
        raise UsageError(
            f"{what} is of a later release (it has {', '.join(unknown)}): finish it with that one"
        )


def staging_of(output: str, run_id: str, attempt: int) -> str:
    """Address of the folder in which the files of an attempt at a run wait for publication."""
    return store.join_uri(output, STAGING_FOLDER, f"{run_id}.{attempt}")


def store_plan(plan: RunPlan, chips: pa.RecordBatchReader) -> RunPlan:
    """Write manifest and plan to the run's staging folder; row group i is unit i.

    Args:
        chips: the run's chips in the CHIP_MANIFEST schema.

    Returns:
        The plan to follow: if two launchers planned the same run at once, the one stored first.
    """
    with store.create_file(plan.manifest) as file:
        write_manifest(file, chips, plan.unit_rows)
    plan_uri = store.join_uri(plan.staging, _PLAN_FILE)
    sync_written([plan.manifest])
    if store.create_bytes(plan_uri, plan.to_json().encode()):
        sync_written([plan_uri])
        return plan
    return read_json(plan_uri, RunPlan.from_json)


def write_manifest(file: BinaryIO, chips: pa.RecordBatchReader, unit_rows: Sequence[int]) -> None:
    """Write a manifest in which each row group is a unit, whatever the sizes of the batches.

    Args:
        unit_rows: number of chips in each unit, of all chips together.
    """
    with pq.ParquetWriter(
        file, chips.schema, compression="zstd", write_page_checksum=True
    ) as writer:
        held: list[pa.RecordBatch] = []
        for rows in unit_rows:
            while sum(part.num_rows for part in held) < rows:
                if (batch := next(chips, None)) is None:
                    break
                held.append(batch)
            table = pa.Table.from_batches(held, chips.schema)
            writer.write_table(table.slice(0, rows), row_group_size=rows)
            held = table.slice(rows).to_batches()


def read_plan(output: str, run_id: str, attempt: int) -> RunPlan | None:
    """The plan that an attempt stored in its staging folder; None if there is none.

    Raises:
        ObjectDamaged: it is not whole.
        UsageError: a later release stored it.
    """
    uri = store.join_uri(staging_of(output, run_id, attempt), _PLAN_FILE)
    if store.head_object(uri) is None:
        return None
    return read_json(uri, RunPlan.from_json)


def check_manifest(plan: RunPlan) -> None:
    """Check that a stored plan has its manifest.

    Raises:
        ObjectDamaged: it is missing, or not whole.
        StorageError: its store does not answer.
    """
    if store.head_object(plan.manifest) is not None:
        with store.open_file(plan.manifest) as file, suppress(OSError, pa.ArrowException):
            pq.read_metadata(file)
            return
    raise ObjectDamaged(f"{plan.manifest!r} {_NOT_WHOLE}")


def read_json(uri: str, parse: Callable[[bytes], T], fault: str = _NOT_WHOLE) -> T:
    """What is stored in a JSON file.

    Args:
        parse: makes it of the file's bytes.
        fault: what is said of a file that is not whole.

    Raises:
        ObjectDamaged: it is not whole.
        StorageError: it is missing, or its store does not answer.
    """
    data = store.read_bytes(uri)
    try:
        return parse(data)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ObjectDamaged(f"{uri!r} {fault}") from error


def unit_rows(
    chips: int, unit_chips: int | None = None, scene_chips: Sequence[int] = ()
) -> tuple[int, ...]:
    """Number of chips in each unit of a manifest of `chips` chips.

    Args:
        scene_chips: number of windows of each scene, if the chips are windows. A unit then has
            windows of one scene, whose blocks it reads once; small scenes share a unit.

    >>> unit_rows(UNIT_CHIPS + 1)
    (4096, 1)
    >>> unit_rows(6000, scene_chips=[100, 200, 5000, 700])
    (300, 2500, 2500, 700)
    """
    size = unit_chips or UNIT_CHIPS
    if not scene_chips:
        return tuple(min(size, chips - start) for start in range(0, chips, size))
    units: list[int] = []
    shared = 0
    for count in scene_chips:
        small = count * _SCENES_A_UNIT <= size
        if shared and not (small and shared + count <= size):
            units.append(shared)
            shared = 0
        if small:
            shared += count
        else:
            units += _in_parts(count, -(-count // size))
    return (*units, shared) if shared else tuple(units)


def _in_parts(count: int, parts: int) -> list[int]:
    """A count as parts that differ by 1 at most."""
    return [count // parts + (part < count % parts) for part in range(parts)]
