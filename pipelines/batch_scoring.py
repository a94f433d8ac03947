"""The scoring job's graph, top to bottom. Only wiring: each step is in its own module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import time

import apache_beam as beam

from pipelines.publishing.publishing import PublishRun
from pipelines.reading.transforms import ReadChips, ReadManifest
from pipelines.runs.run_plan import RunPlan
from pipelines.runs.staging import StageUnits
from pipelines.scoring.labelling import LabelChips
from pipelines.scoring.scoring import ScoreChips, SharedModel
from pipelines.storage.worker_settings import WorkerSettings
from schemas.artifact import ModelArtifact
from schemas.precision import Engine, Precision


@dataclass(eq=False)
class ScoreArchive(beam.PTransform):
    """Score the chips of a planned run and publish it.

    Attributes:
        plan: the run, whose manifest is stored.
        units: numbers of the units to score; the others are staged already.
        artifact: the model's description when the run was planned.
        batch_size: chips per call of the model; None to let the workers choose.
        precision: of the model's computation; workers decide what `auto` means.
        settings: applied on every worker.
        started_at: seconds since 1970 (UTC); a resumed run has several starts.
        engine: what computes the model; workers decide what `auto` means.
        signed: whether the signature of `artifact` was checked, so that workers refuse another.
    """

    plan: RunPlan
    units: Sequence[int]
    artifact: ModelArtifact
    batch_size: int | None
    precision: Precision
    settings: WorkerSettings | None = None
    started_at: float = field(default_factory=time)
    engine: Engine = "auto"
    signed: bool = False

    def expand(self, pbegin: beam.pvalue.PBegin) -> beam.PCollection[None]:
        """Only addresses before the Reshuffle, only file names after the staging."""
        plan, settings = self.plan, self.settings
        scored = (self.precision, self.batch_size, plan.to_score)
        signed = self.artifact.description_digest if self.signed else ""
        model = SharedModel(
            plan.artifact, plan.model_digest, *scored, settings, self.engine, signed
        )
        return (
            pbegin
            | ReadManifest(plan.manifest, self.units)
            | ReadChips(
                self.artifact.preprocessing,
                model.ask_batch_size,
                settings,
                max_no_data=plan.max_no_data,
            )
            | ScoreChips(model)
            | LabelChips(self.artifact)
            | StageUnits(plan.staging, self.started_at)
            | PublishRun(plan, settings)
        )
