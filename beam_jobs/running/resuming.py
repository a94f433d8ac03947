"""Resume a run from its stored plan: only options that change no row may differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from beam_jobs.options.run_options import ROW_OPTIONS, RunOptions
from pipelines.errors import UsageError
from pipelines.runs.run_plan import RunPlan
from schemas.artifact import ModelArtifact
from schemas.trust import trust_rows


def match_plan(
    plan: RunPlan, options: RunOptions, artifact: ModelArtifact, threats: Sequence[str] = ()
) -> RunPlan:
    """The stored plan, with today's values of the options that change no row.

    Raises:
        UsageError: the run was begun with another model or with options that change rows.
    """
    recorded = options.recorded()
    begun_and_asked: dict[str, tuple[object, object]] = {
        "kind": (plan.kind, options.kind),
        "model_digest": (plan.model_digest, artifact.model_digest),
        "thresholds_digest": (plan.thresholds_digest, artifact.thresholds_digest),
        # a run that died before midnight keeps its date
        "run_date": (plan.run_date, options.run_date if options.run_date_given else plan.run_date),
        **{name: (plan.options.get(name), recorded.get(name)) for name in ROW_OPTIONS},
    }
    check_begun(plan, begun_and_asked, options.run_id_flag)
    return replace(
        plan,
        artifact=options.artifact,
        max_quarantine_ratio=options.max_quarantine_ratio,
        options=recorded,
        drift=options.drift,
        threats=threats or plan.threats,
        trust=plan.trust or trust_rows(artifact),
    )


def check_begun(
    plan: RunPlan, begun_and_asked: dict[str, tuple[object, object]], run_id_flag: str
) -> None:
    """Refuse to resume a run with other values than it was begun with.

    Args:
        begun_and_asked: by name, the stored value and the value of this command.

    Raises:
        UsageError: says which differs, and what to do.
    """
    for name, (begun, asked) in begun_and_asked.items():
        if begun != asked:
            raise UsageError(
                f"run {plan.run_id} was begun with {name} {begun!r}, not {asked!r}: resume it with "
                f"the same value, or choose another {run_id_flag}, or delete {plan.staging}"
            )
