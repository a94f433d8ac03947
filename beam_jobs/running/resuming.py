"""Go on with a run that was begun before: by its stored plan, with what it has staged."""

from __future__ import annotations

from dataclasses import replace

from beam_jobs.options.run_options import ROW_OPTIONS, RunOptions
from pipelines.errors import UsageError
from pipelines.runs.run_plan import RunPlan
from schemas.artifact import ModelArtifact


def resume_plan(plan: RunPlan, options: RunOptions, artifact: ModelArtifact) -> RunPlan:
    """The stored plan, with those of today's options that change no row.

    Raises:
        UsageError: the run was begun with another model or with options that change rows.
    """
    begun_with, given = _deciding(plan), _asked(plan, options, artifact)
    for name, before in begun_with.items():
        if given[name] != before:
            raise UsageError(
                f"run {plan.run_id} was begun with {name} {before!r}, not {given[name]!r}: go on "
                f"with what it was begun with, or give another {options.run_id_flag}, "
                f"or delete {plan.staging}"
            )
    return replace(
        plan,
        artifact=options.artifact,
        max_quarantine_ratio=options.max_quarantine_ratio,
        options=options.recorded(),
        drift=options.drift,
    )


def _deciding(plan: RunPlan) -> dict[str, object]:
    """What decides a run's rows, as it was begun."""
    return {
        "kind": plan.kind,
        "model_digest": plan.model_digest,
        "thresholds_digest": plan.thresholds_digest,
        "run_date": plan.run_date,
        **{name: plan.options.get(name) for name in ROW_OPTIONS},
    }


def _asked(plan: RunPlan, options: RunOptions, artifact: ModelArtifact) -> dict[str, object]:
    """The same as it is asked for now; a run that died before midnight keeps its date."""
    recorded = options.recorded()
    return {
        "kind": options.kind,
        "model_digest": artifact.model_digest,
        "thresholds_digest": artifact.thresholds_digest,
        "run_date": options.run_date if options.run_date_given else plan.run_date,
        **{name: recorded.get(name) for name in ROW_OPTIONS},
    }
