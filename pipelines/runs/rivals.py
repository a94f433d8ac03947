"""A run is not published if another run has published the same chips since it was planned.

Two runs that are planned at the same time over the same archive find the same chips to score. Both
score them; the first commit wins. The second finds the first's chips in the snapshot that it would
commit to. That snapshot is still the newest when its commit is written: every publisher increments
one application id (`commits.PUBLISHER`), so a commit to an older snapshot is refused.
"""

from __future__ import annotations

import pyarrow.parquet as pq
from deltalake import DeltaTable

from pipelines import databases
from pipelines.errors import RunFailed
from pipelines.planning.done import CHIP_VERSIONS, chips_done
from pipelines.runs.run_plan import RunPlan
from pipelines.storage import store
from pipelines.tables import publications
from schemas.tables import RELABEL


def refuse_rivals(plan: RunPlan, scores: DeltaTable, since: int | None = None) -> None:
    """Refuse a run if others have published its chips since it was planned.

    A run with `--rescore` has no rivals. The rivals of a relabelling are the runs that replaced or
    withdrew a run whose rows it has copied.

    Args:
        scores: the snapshot of `chip_scores` that the run would be committed to.
        since: a version that was checked before; by default that of the plan.

    Raises:
        RunFailed: says which run won, and what to do.
    """
    if plan.rescore or not plan.to_score:
        return
    newer = publications.runs_since(scores, plan.scores_version if since is None else since)
    if plan.kind == RELABEL:
        _refuse_changed_sources(plan, newer)
        return
    for rival in sorted(newer - {plan.run_id}):
        if lost := _shared_chips(plan, rival):
            raise RunFailed(
                f"run {plan.run_id}: run {rival} was faster and has published {lost} of its "
                f"{plan.to_score} chips; nothing was published; run again to score what is left"
            )


def _refuse_changed_sources(plan: RunPlan, newer: set[str]) -> None:
    if changed := sorted(newer.intersection(plan.options["relabelled_runs"])):
        raise RunFailed(
            f"run {plan.run_id}: run {changed[0]}, whose rows it has relabelled, was replaced or "
            "withdrawn meanwhile; nothing was published; run again"
        )


def _shared_chips(plan: RunPlan, rival: str) -> int:
    """Chips of the plan that the other run has scored, or quarantined for good, with this model."""
    done = chips_done(plan.output, plan.model_digest, {rival}).read_all()
    if not done.num_rows:
        return 0
    with store.open_file(plan.manifest) as file:
        mine = pq.read_table(file, columns=CHIP_VERSIONS.names)
    connection = databases.connect()
    connection.register("mine", mine)
    connection.register("done", done)
    shared = connection.sql("SELECT count(*) FROM mine SEMI JOIN done USING (chip_uri, etag)")
    return int(shared.fetchall()[0][0])
