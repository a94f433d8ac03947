"""Chips that fail tonight for a temporary reason, as in an earlier run: a broken link, an object
without read permission. Each run tries them again."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines import databases
from pipelines.planning.done import CHIP_VERSIONS, chips_quarantined
from pipelines.runs.run_plan import RunPlan
from pipelines.runs.staging import StagedUnit
from pipelines.storage import store
from schemas.tables import QuarantineReason

TEMPORARY = tuple(reason.value for reason in QuarantineReason if not reason.permanent)


def failed_again(plan: RunPlan, units: Iterable[StagedUnit]) -> int:
    """Number of a run's chips that failed for a temporary reason, and did so before in a published
    run with the same model and the same version of the chip.

    Raises:
        StorageError: a staged file or a table cannot be read.
    """
    now = pa.concat_tables([CHIP_VERSIONS.empty_table(), *map(_temporary_failures, units)])
    if not now.num_rows:
        return 0
    connection = databases.connect()
    connection.register("now", now)
    connection.register("before", chips_quarantined(plan.output, plan.model_digest, TEMPORARY))
    # A chip that could not even be looked up has no etag: two nulls are equal here.
    same = "before.chip_uri = now.chip_uri AND before.etag IS NOT DISTINCT FROM now.etag"
    found = connection.sql(f"SELECT count(*) FROM now SEMI JOIN before ON {same}")
    return int(found.fetchall()[0][0])


def _temporary_failures(unit: StagedUnit) -> pa.Table:
    if unit.quarantine is None or not set(TEMPORARY).intersection(unit.reasons):
        return CHIP_VERSIONS.empty_table()
    with store.open_file(unit.quarantine.uri) as file:
        rows = pq.read_table(file, columns=[*CHIP_VERSIONS.names, "reason"])
    kept = rows.filter(pc.is_in(rows["reason"], pa.array(TEMPORARY)))
    return kept.select(CHIP_VERSIONS.names).cast(CHIP_VERSIONS)
