"""Which attempt at a run is next: a begun attempt is resumed, a refused one is left behind.

An attempt that may not be published leaves the reason in its staging folder, where the launcher
finds it, whatever engine ran the graph. So does one that is held: it stays the current attempt
until an operator publishes it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from pipelines.errors import ObjectDamaged, RunFailed
from pipelines.runs import run_plan
from pipelines.runs.run_plan import RunPlan
from pipelines.runs.torn_files import drop_torn_units
from pipelines.storage import store
from pipelines.tables import delta_tables, publications
from schemas.tables import COMMIT_ORDER

REFUSAL_FILE = "refusal.json"
HOLD_FILE = "held.json"
_UNKNOWN = "the reason is unknown: its file is not whole, as after a power cut"
_log = logging.getLogger(__name__)


def find_attempt(output: str, run_id: str) -> tuple[int, RunPlan | None]:
    """Number of the current attempt at a run, and its plan if it was begun before.

    It is the first attempt after the published one that was not refused, and whose plan is whole.
    Unless it was begun, its number is new: rows that a refused attempt committed to `quarantine`
    are replaced, not reused. Staged units that are not whole are forgotten.
    """
    tables = {t.name: delta_tables.open_table(output, t.name) for t in COMMIT_ORDER}
    known = {n: publications.attempts_of(t, run_id) for n, t in tables.items()}
    attempt = known["chip_scores"] + 1
    while True:
        try:
            plan = run_plan.read_plan(output, run_id, attempt)
            if plan is not None:
                run_plan.check_manifest(plan)
                drop_torn_units(plan.staging)
        except ObjectDamaged as error:
            _log.warning("attempt %d at run %s cannot be resumed: %s", attempt, run_id, error)
            attempt += 1
            continue
        if plan is not None and not read_reason(plan, REFUSAL_FILE):
            return attempt, plan
        if plan is None and attempt > max(known.values()):
            return attempt, None
        attempt += 1


def find_staged(output: str, run_id: str) -> RunPlan | None:
    """The plan of the last attempt that is not published, even if it was refused."""
    attempt, plan = find_attempt(output, run_id)
    scores = delta_tables.open_table(output, "chip_scores")
    published = publications.attempts_of(scores, run_id)
    if plan is None and attempt - 1 > published:
        return run_plan.read_plan(output, run_id, attempt - 1)
    return plan


@contextmanager
def recording_refusal(plan: RunPlan) -> Iterator[None]:
    """If publishing is refused within the block, store why."""
    try:
        yield
    except RunFailed as error:
        write_reason(plan, REFUSAL_FILE, str(error))
        raise


def write_reason(plan: RunPlan, file: str, reason: str) -> None:
    """Store why the run is refused (REFUSAL_FILE) or held (HOLD_FILE)."""
    text = json.dumps({"reason": reason, "at": datetime.now(UTC).isoformat()})
    store.write_bytes(store.join_uri(plan.staging, file), text.encode())


def held_at(plan: RunPlan) -> datetime | None:
    """When the run was held; None if it never was."""
    uri = store.join_uri(plan.staging, HOLD_FILE)
    found = store.head_object(uri)
    if found is None:
        return None
    at = _read(uri).get("at")  # earlier releases did not store it
    return datetime.fromisoformat(at) if at else found["modified_at"]


def read_reason(plan: RunPlan, file: str) -> str:
    """Why the graph's last step refused to publish the run, or holds it; "" if it does not."""
    uri = store.join_uri(plan.staging, file)
    if store.head_object(uri) is None:
        return ""
    return str(_read(uri).get("reason", _UNKNOWN))


def _read(uri: str) -> dict[str, Any]:
    """What `write_reason` stored; nothing if the file is not whole."""
    try:
        found = json.loads(store.read_bytes(uri))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
