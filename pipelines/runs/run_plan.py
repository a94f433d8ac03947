"""A run's plan and manifest, stored where the run stages its files, and what was done before it.

Runs in the launcher, before any worker starts: `archive` lists, `selection` joins the listing with
what is done.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import chain
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from pipelines.drift.checks import DriftLimits
from pipelines.storage import store
from pipelines.tables import delta_tables
from pipelines.tables.replacing import quarantined_rows
from schemas.tables import EXPIRED_CHIPS, SCORE, QuarantineReason

UNIT_CHIPS = 4096
"""Chips a unit where nothing tells a better number: many batches, so that reading ahead pays; few
enough to spread a night."""

CHIP_VERSIONS = pa.schema([("chip_uri", pa.string()), ("etag", pa.string())])
"""What tells one version of a chip from another."""

STAGING_FOLDER = "_staging"
_PLAN_FILE = "plan.json"
_FILES_AHEAD, _BATCHES_AHEAD = 4, 4  # Arrow reads 16 batches ahead in each file unless told


@dataclass(frozen=True)
class RunPlan:
    """All that a run was planned with; stored with its manifest and handed to the workers.

    Attributes:
        run_id, run_date: name of the run and the night it belongs to (YYYY-MM-DD).
        output: address of the tables.
        artifact: address of the model artifact.
        model_digest, thresholds_digest: what the artifact was when the run was planned.
        listed: chips found, each counted once.
        skipped: of these, chips that the model had done before.
        left_over: of these, chips that are left to the next run.
        unit_rows: number of chips in each unit of the manifest.
        max_quarantine_ratio: share of the run's chips over which nothing is published.
        attempt: 1, or one more than the last of the same run of which any table knows.
        options: the options of the run, for its record.
        versions: package to version in the launcher.
        started_at, planned_at: seconds since 1970 (UTC).
        scores_version: version of the table `chip_scores` that was looked into for chips done
            before, -1 where there was none.
        token: tells this plan's manifest from that of another planner of the same run.
        kind: what the run does, one of `runs.kind`.
        drift: when the night is a bad one, and what becomes of it then.
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

    @property
    def to_score(self) -> int:
        """Chips in the manifest."""
        return sum(self.unit_rows)

    @property
    def staging(self) -> str:
        """Address below which the run's files wait for publication."""
        return staging_of(self.output, self.run_id, self.attempt)

    @property
    def rescore(self) -> bool:
        """Whether the run scores again, on purpose, what was scored before."""
        return bool(self.options.get("rescore"))

    @property
    def manifest(self) -> str:
        """Address of the run's manifest."""
        return store.join_uri(self.staging, f"manifest{self.token}.parquet")

    def to_json(self) -> str:
        """One line of JSON; `from_json` is its inverse."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> RunPlan:
        """Read what `to_json` wrote."""
        data = json.loads(text)
        drift = DriftLimits(**data.pop("drift", {}))
        return cls(**{**data, "unit_rows": tuple(data["unit_rows"]), "drift": drift})


def staging_of(output: str, run_id: str, attempt: int) -> str:
    """Address below which the files of an attempt at a run wait for publication."""
    return store.join_uri(output, STAGING_FOLDER, f"{run_id}.{attempt}")


def scores_version(output: str) -> int:
    """Version of the table `chip_scores`, -1 where there is none. Ask before `chips_done`: what
    is published in between is then looked for twice, not never."""
    scores = delta_tables.open_table(output, "chip_scores")
    return -1 if scores is None else scores.version()


def chips_done(
    output: str, model_digest: str, run_ids: Collection[str] | None = None
) -> pa.RecordBatchReader:
    """chip_uri and etag of chips that this model has scored, or given up for a lasting reason,
    in published runs, or in some of them."""
    lasting = [reason.value for reason in QuarantineReason if reason.lasting]
    scored = chips_scored(output, model_digest, run_ids)
    given_up = chips_given_up(output, model_digest, lasting, run_ids)
    expired = chips_expired(output, model_digest, run_ids)
    return pa.RecordBatchReader.from_batches(CHIP_VERSIONS, chain(scored, given_up, expired))


def chips_scored(
    output: str, model_digest: str, run_ids: Collection[str] | None = None
) -> pa.RecordBatchReader:
    """chip_uri and etag of chips that this model has scored, in published runs, or in some."""
    scores = delta_tables.open_table(output, "chip_scores")
    if scores is None:
        return CHIP_VERSIONS.empty_table().to_reader()
    batches = _versions(delta_tables.open_dataset(scores, run_ids), model_digest)
    return pa.RecordBatchReader.from_batches(CHIP_VERSIONS, batches)


def chips_given_up(
    output: str,
    model_digest: str,
    reasons: Collection[str],
    run_ids: Collection[str] | None = None,
) -> pa.RecordBatchReader:
    """chip_uri and etag of chips that this model gave up for one of the reasons, in published
    runs, or in some of them."""
    quarantine = delta_tables.open_table(output, "quarantine")
    if quarantine is None:
        return CHIP_VERSIONS.empty_table().to_reader()
    scores = delta_tables.open_table(output, "chip_scores")
    rows = quarantined_rows(quarantine, scores, run_ids)
    of_reason = ds.field("reason").isin(list(reasons))
    batches = _versions(rows, model_digest, of_reason)
    return pa.RecordBatchReader.from_batches(CHIP_VERSIONS, batches)


def chips_expired(
    output: str, model_digest: str, run_ids: Collection[str] | None = None
) -> pa.RecordBatchReader:
    """chip_uri and etag of chips whose rows were removed for their age, of published runs, or of
    some of them."""
    expired = delta_tables.open_table(output, EXPIRED_CHIPS.name)
    if expired is None:
        return CHIP_VERSIONS.empty_table().to_reader()
    found = {partition["run_id"] for partition in expired.partitions()}
    asked = found if run_ids is None else found.intersection(run_ids)
    scores = delta_tables.open_table(output, "chip_scores")
    published = delta_tables.published_run_ids(scores, asked)
    batches = _versions(delta_tables.open_dataset(expired, published), model_digest)
    return pa.RecordBatchReader.from_batches(CHIP_VERSIONS, batches)


def _versions(
    rows: ds.Dataset,
    model_digest: str,
    condition: ds.Expression | None = None,
) -> Iterator[pa.RecordBatch]:
    """Two columns of some rows, batch after batch: of ten million chips they take a gigabyte."""
    wanted = ds.field("model_digest") == model_digest
    found = rows.scanner(
        columns=CHIP_VERSIONS.names,
        filter=wanted if condition is None else wanted & condition,
        batch_readahead=_BATCHES_AHEAD,
        fragment_readahead=_FILES_AHEAD,
    )
    for batch in found.to_batches():
        yield batch.cast(CHIP_VERSIONS)


def store_plan(plan: RunPlan, chips: pa.RecordBatchReader) -> RunPlan:
    """Write manifest and plan where the run stages its files; row group i is unit i.

    Args:
        chips: the run's chips in the CHIP_MANIFEST schema.

    Returns:
        The plan that holds: where the same run was planned twice at once, that of the faster.
    """
    with store.create_file(plan.manifest) as file:
        write_manifest(file, chips, max(plan.unit_rows, default=None))
    plan_uri = store.join_uri(plan.staging, _PLAN_FILE)
    if store.create_bytes(plan_uri, plan.to_json().encode()):
        return plan
    return RunPlan.from_json(store.read_bytes(plan_uri))


def write_manifest(
    file: BinaryIO, chips: pa.RecordBatchReader, unit_chips: int | None = None
) -> None:
    """Write a manifest of which each row group is a unit of so many chips, however the rows
    come."""
    size = unit_chips or UNIT_CHIPS
    with pq.ParquetWriter(file, chips.schema, compression="zstd") as writer:
        held: list[pa.RecordBatch] = []
        for batch in chips:
            held.append(batch)
            if sum(part.num_rows for part in held) >= size:
                table = pa.Table.from_batches(held)
                whole = table.num_rows - table.num_rows % size
                writer.write_table(table.slice(0, whole), row_group_size=size)
                held = table.slice(whole).to_batches()
        if held:
            writer.write_table(pa.Table.from_batches(held), row_group_size=size)


def read_plan(output: str, run_id: str, attempt: int) -> RunPlan | None:
    """The plan that an attempt stored where it stages its files; None where it has none."""
    uri = store.join_uri(staging_of(output, run_id, attempt), _PLAN_FILE)
    if store.head_object(uri) is None:
        return None
    return RunPlan.from_json(store.read_bytes(uri))


def unit_rows(chips: int, unit_chips: int | None = None) -> tuple[int, ...]:
    """Chips in each unit of a manifest of so many chips.

    >>> unit_rows(UNIT_CHIPS + 1)
    (4096, 1)
    """
    size = unit_chips or UNIT_CHIPS
    return tuple(min(size, chips - start) for start in range(0, chips, size))
