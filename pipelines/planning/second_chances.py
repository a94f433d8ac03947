"""Chips that an earlier release could not read, and that this one may be able to.

Their reasons are permanent, so no run tries them again by itself; `replay_quarantine` does.
"""

from __future__ import annotations

import json
import shlex

import pyarrow as pa

from pipelines import databases
from pipelines.imaging.decoding import READING_NAME, READING_VERSION, READS_MORE
from pipelines.planning.done import chips_quarantined, chips_scored
from pipelines.tables import delta_tables
from schemas.tables import QUARANTINE, RUNS, QuarantineReason


def count_second_chances(output: str, model_digest: str) -> dict[str, int]:
    """Chips by reason that runs of releases which read less have quarantined for this model, and
    that no run of this release has tried since.

    Raises:
        StorageError: the tables cannot be read.
    """
    old, new = _runs_by_release(output)
    counts: dict[str, int] = {}
    for reason in READS_MORE if old else ():
        rejected = chips_quarantined(output, model_digest, [reason.value], old).read_all()
        if rejected.num_rows and (count := _untried(output, model_digest, rejected, new)):
            counts[reason.value] = count
    return counts


def replay_command(output: str, artifact: str, reasons: list[str]) -> str:
    """The command that tries chips with these reasons again."""
    chosen = " ".join(f"--reason {reason}" for reason in reasons)
    places = f"--output {shlex.quote(output)} --artifact {shlex.quote(artifact)}"
    return f"python -m beam_jobs.replay_quarantine {places} {chosen}"


def _runs_by_release(output: str) -> tuple[list[str], list[str]]:
    """Of the runs with quarantined chips, those of releases that read less than this one, and all
    others."""
    runs, quarantine = (delta_tables.open_table(output, t.name) for t in (RUNS, QUARANTINE))
    if runs is None or quarantine is None:
        return [], []
    asked = {partition["run_id"] for partition in quarantine.partitions()}
    records = delta_tables.open_dataset(runs, asked)
    rows = records.to_table(columns=["run_id", "versions"]).to_pylist()
    new = [row["run_id"] for row in rows if _reads_as_much(row["versions"])]
    return sorted({row["run_id"] for row in rows}.difference(new)), new


def _reads_as_much(versions: str) -> bool:
    return int(json.loads(versions).get(READING_NAME, "1")) >= READING_VERSION


def _untried(output: str, model_digest: str, rejected: pa.Table, new: list[str]) -> int:
    reasons = [reason.value for reason in QuarantineReason]
    connection = databases.connect()
    connection.register("rejected", rejected)
    connection.register("tried", chips_quarantined(output, model_digest, reasons, new))
    connection.register("scored", chips_scored(output, model_digest))
    by_version = "USING (chip_uri, etag)"
    found = connection.sql(
        f"SELECT count(*) FROM (SELECT DISTINCT * FROM rejected) ANTI JOIN tried {by_version} "
        f"ANTI JOIN scored {by_version}"
    )
    return int(found.fetchall()[0][0])
