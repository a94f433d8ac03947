"""Chips that a model has done before: what a new run skips.

All of these read published rows only, as columns `chip_uri` and `etag`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

import pyarrow as pa
import pyarrow.dataset as ds

from pipelines.tables import delta_tables, publications
from pipelines.tables.damage import chips_in, newest_commit, skipped_files
from pipelines.tables.replacing import quarantined_rows
from schemas.tables import EXPIRED_CHIPS, QuarantineReason

CHIP_VERSIONS = pa.schema([("chip_uri", pa.string()), ("etag", pa.string())])
"""What identifies one version of a chip."""

PERMANENT = tuple(reason.value for reason in QuarantineReason if reason.permanent)
_FILES_AHEAD, _BATCHES_AHEAD = 4, 4  # Arrow's default is 16 batches ahead in each file


def scores_version(output: str) -> int:
    """Version of the table `chip_scores`, -1 if there is none.

    Call it before `chips_done`: what is published in between is then read twice, not missed.
    """
    scores = delta_tables.open_table(output, "chip_scores")
    return -1 if scores is None else scores.version()


def no_chips() -> pa.RecordBatchReader:
    """No rows, in the CHIP_VERSIONS schema."""
    return _reader(())


@delta_tables.opening_once()
def chips_done(
    output: str, model_digest: str, run_ids: Collection[str] | None = None
) -> pa.RecordBatchReader:
    """Chips that this model has scored, or quarantined for a permanent reason.

    Args:
        run_ids: look only at these runs; None for all that are published.
    """
    scored = chips_scored(output, model_digest, run_ids)
    quarantined = chips_quarantined(output, model_digest, PERMANENT, run_ids)
    expired = _chips_expired(output, model_digest, run_ids)
    return _reader(chain(scored, quarantined, expired))


@dataclass(frozen=True)
class LostChips:
    """Chips that were done before, by rows in files that are missing or damaged.

    Attributes:
        number: how many.
        until: when the last of these rows were committed.
    """

    number: int
    until: datetime


def lost_chips(output: str) -> LostChips | None:
    """The chips whose rows are in files that this process leaves out; None if there are none."""
    skipped = skipped_files(output)
    until = newest_commit(output, skipped)
    return LostChips(chips_in(skipped), until) if until else None


def chips_scored(
    output: str, model_digest: str, run_ids: Collection[str] | None = None
) -> pa.RecordBatchReader:
    """Chips that this model has scored, in all published runs or in some."""
    scores = delta_tables.open_table(output, "chip_scores")
    if scores is None:
        return no_chips()
    return _reader(_versions(delta_tables.open_dataset(scores, run_ids), model_digest))


def chips_quarantined(
    output: str, model_digest: str, reasons: Collection[str], run_ids: Collection[str] | None = None
) -> pa.RecordBatchReader:
    """Chips that this model quarantined for one of the reasons, in all published runs or in
    some."""
    quarantine = delta_tables.open_table(output, "quarantine")
    if quarantine is None:
        return no_chips()
    scores = delta_tables.open_table(output, "chip_scores")
    rows = quarantined_rows(quarantine, scores, run_ids)
    return _reader(_versions(rows, model_digest, ds.field("reason").isin(list(reasons))))


def _chips_expired(
    output: str, model_digest: str, run_ids: Collection[str] | None
) -> pa.RecordBatchReader:
    """Chips whose rows were removed because of their age."""
    expired = delta_tables.open_table(output, EXPIRED_CHIPS.name)
    if expired is None:
        return no_chips()
    found = {partition["run_id"] for partition in expired.partitions()}
    asked = found if run_ids is None else found.intersection(run_ids)
    scores = delta_tables.open_table(output, "chip_scores")
    published = publications.published_run_ids(scores, asked)
    return _reader(_versions(delta_tables.open_dataset(expired, published), model_digest))


def _reader(batches: Iterator[pa.RecordBatch] | tuple[()]) -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_batches(CHIP_VERSIONS, batches)


def _versions(
    rows: ds.Dataset, model_digest: str, condition: ds.Expression | None = None
) -> Iterator[pa.RecordBatch]:
    """Two columns of some rows, batch after batch: for ten million chips they take a gigabyte."""
    wanted = ds.field("model_digest") == model_digest
    found = rows.scanner(
        columns=CHIP_VERSIONS.names,
        filter=wanted if condition is None else wanted & condition,
        batch_readahead=_BATCHES_AHEAD,
        fragment_readahead=_FILES_AHEAD,
    )
    for batch in found.to_batches():
        yield batch.cast(CHIP_VERSIONS)
