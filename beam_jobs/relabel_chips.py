"""Apply new thresholds to stored scores.

The thresholds are JSON, label to number in [0, 1] or null (never), or a model's artifact.json. The
newest scores of each chip by one model are published again as a new run, with the labels by these
thresholds. Labels that the JSON does not name stay as they are in each row. No picture is read and
no model is run. Rows keep their night (run_date).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from deltalake import DeltaTable

from beam_jobs.options.reader_options import ReaderOptions
from beam_jobs.options.run_names import NEW_RUN_ID, checked_run_id, new_run_id, parse_run_date
from beam_jobs.options.store_options import OUTPUT, address
from beam_jobs.running.resuming import check_begun
from beam_jobs.running.versions import installed_versions
from pipelines.artifacts.signing import TRUSTED_KEY
from pipelines.artifacts.threshold_files import Thresholds, read_thresholds, require_labels
from pipelines.commands import CommandLine, run_command
from pipelines.errors import RunFailed, StorageError, UsageError, as_usage_error
from pipelines.flags import common_flag, flag
from pipelines.maintenance.kept_thresholds import keep_thresholds, would_change_nothing
from pipelines.maintenance.relabel_planning import find_rows_to_relabel
from pipelines.maintenance.relabelling import (
    labels_of,
    labels_without_threshold,
    stage_relabelled,
)
from pipelines.publishing import publishing
from pipelines.runs import attempts, records, run_plan
from pipelines.runs.models import known_model
from pipelines.runs.run_plan import RunPlan
from pipelines.storage.store import configure
from pipelines.tables import delta_tables, evolution, publications
from pipelines.wording import count_of
from schemas.tables import CHIP_SCORES, COMMIT_ORDER, RELABEL
from schemas.trust import relabelled_rows


@dataclass(frozen=True, kw_only=True)
class RelabelOptions(ReaderOptions):
    """The options of the command.

    Attributes:
        today: the date of a run over all nights.
    """

    output: str = OUTPUT()
    thresholds: str = flag(
        "A JSON file of label: number or null, of the labels to change or of all, or an "
        "artifact.json.",
        address,
        metavar="URI",
    )
    trusted_key: str | None = TRUSTED_KEY(default=None)
    run_date: str = common_flag(
        "Only rows of this run_date: YYYY-MM-DD, today or yesterday. Default: all rows.",
        metavar="DATE",
        default="",
    )
    model_digest: str = flag(
        "How the model_digest of the scores begins. Default: the artifact's, or that of the "
        "model that scored last.",
        metavar="DIGEST",
        default="",
    )
    run_id: str = NEW_RUN_ID(group="common")
    today: str = ""


LINE = CommandLine("beam_jobs.relabel_chips", RelabelOptions, __doc__ or "")


def main(arguments: Sequence[str]) -> int:
    """Relabel; returns the exit code.

    Raises:
        UsageError: an invalid flag or file; nothing was done.
        RunFailed: nothing was published.
        StorageError: a table cannot be read or written.
    """
    options = _parse(arguments, datetime.now(UTC))
    return options.reading(options.output, lambda: _relabel(options))


def _relabel(options: RelabelOptions) -> int:
    scores = _open_scores(options.output)
    thresholds = read_thresholds(options.thresholds, labels_of(scores), options.trusted_key)
    attempt, begun = attempts.find_attempt(options.output, options.run_id)
    if publications.is_published(scores, options.run_id):
        publishing.finish_record(options.output, options.run_id)
        print(f"run {options.run_id} is published already")
        return 0
    if begun:
        _check_begun(begun, options, thresholds)
    plan = begun or _plan(options, thresholds, scores, attempt)
    if plan is None:
        return 0
    try:
        stage_relabelled(plan, thresholds)
        publishing.publish_run(plan, [])
    except (RunFailed, StorageError) as error:
        records.record_failure(plan, str(error))
        raise
    rows = count_of(plan.to_score, "row")
    print(f"run {plan.run_id} of {plan.run_date} published: {rows} relabelled")
    return 0


def _parse(arguments: Sequence[str], now: datetime) -> RelabelOptions:
    given = LINE.parse(arguments)
    configure(given.stores)
    return replace(
        given,
        run_date=parse_run_date(given.run_date, now) if given.run_date else "",
        run_id=checked_run_id(given.run_id) if given.run_id else new_run_id(now),
        today=parse_run_date("today", now),
    )


def _open_scores(output: str) -> DeltaTable:
    with as_usage_error("--output"):
        scores = delta_tables.open_table(output, "chip_scores")
    if scores is None:
        raise UsageError(f"--output {output!r} holds no table chip_scores: nothing to relabel")
    return scores


def _check_begun(plan: RunPlan, options: RelabelOptions, thresholds: Thresholds) -> None:
    begun_and_asked: dict[str, tuple[object, object]] = {
        "kind": (plan.kind, RELABEL),
        "thresholds_digest": (
            plan.options.get("given_digest", plan.thresholds_digest),
            thresholds.digest,
        ),
        "--run_date": (plan.options.get("relabelled_run_date"), options.run_date),
        "--model_digest": (plan.options.get("model"), options.model_digest),
    }
    check_begun(plan, begun_and_asked, "--run_id")


def _plan(
    options: RelabelOptions, thresholds: Thresholds, scores: DeltaTable, attempt: int
) -> RunPlan | None:
    """Choose the rows and store the plan; returns the stored one. None if nothing would change."""
    started_at = time.time()
    model = options.model_digest or thresholds.model_digest
    selection = find_rows_to_relabel(options.output, scores, options.run_date, model)
    missing = labels_without_threshold(scores, selection.model_digest, thresholds)
    if thresholds.model_digest:
        require_labels(options.thresholds, thresholds, missing)
    asked = (options.output, selection.model_digest, selection.manifest, thresholds)
    kept = keep_thresholds(*asked) if missing else None
    listed = sum(selection.unit_rows)
    if would_change_nothing(*asked[:3], thresholds.digest, kept):
        print(
            f"nothing to change: {count_of(listed, 'row')} by model {selection.model_digest} "
            "with these thresholds already"
        )
        return None
    for table in COMMIT_ORDER:
        if table is not CHIP_SCORES:  # its rows are relabelled: it exists
            evolution.ensure_table(options.output, table)
    print(
        f"run {options.run_id}: {count_of(listed, 'row')} by model {selection.model_digest} "
        f"to relabel; {selection.others:,} by other models stay as they are",
        flush=True,
    )
    if kept:
        different = f" ({len(kept.digests)} different ones)" if len(kept.digests) > 1 else ""
        print(
            f"changed are the thresholds of {', '.join(thresholds.by_label)}; other labels keep "
            f"those of their rows{different}: {', '.join(missing)}",
            flush=True,
        )
    plan = RunPlan(
        run_id=options.run_id,
        run_date=options.run_date or options.today,
        output=options.output,
        artifact=options.thresholds,
        model_digest=selection.model_digest,
        thresholds_digest=next(iter(kept.digests.values())) if kept else thresholds.digest,
        listed=listed,
        skipped=0,
        unit_rows=selection.unit_rows,
        max_quarantine_ratio=0.0,
        attempt=attempt,
        options={
            "thresholds": thresholds.by_label,
            "sky_rule": thresholds.sky_rule,
            "relabelled_run_date": options.run_date,
            "relabelled_runs": selection.run_ids,
            "model": options.model_digest,
            **(
                {"given_digest": thresholds.digest, "changed_digests": kept.digests} if kept else {}
            ),
        },
        versions=installed_versions(),
        started_at=started_at,
        planned_at=time.time(),
        scores_version=scores.version(),
        trust=kept.trust if kept else _trust(options.output, selection.model_digest, thresholds),
        token=f"-{uuid.uuid4().hex[:8]}",
        kind=RELABEL,
    )
    return run_plan.store_plan(plan, selection.manifest.to_reader())


def _trust(output: str, model_digest: str, thresholds: Thresholds) -> Sequence[Mapping[str, Any]]:
    """The model's rows for `models`: by the artifact if the thresholds are its own."""
    if thresholds.trust and thresholds.model_digest == model_digest:
        return thresholds.trust
    return relabelled_rows(known_model(output, model_digest), thresholds.by_label)


if __name__ == "__main__":
    run_command(main)
