"""The options of a run: each flag once, checked before anything is loaded."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, ClassVar, TypeVar

from beam_jobs.options.accelerators import GPU_TYPES
from beam_jobs.options.cut_options import CutOptions
from beam_jobs.options.estimate_options import EstimateOptions
from beam_jobs.options.reader_options import ReaderOptions
from beam_jobs.options.run_names import RUN_DATE_IN_ID, checked_run_id, new_run_id, parse_run_date
from beam_jobs.options.store_options import OUTPUT, address
from pipelines.artifacts.signing import TRUSTED_KEY
from pipelines.commands import CommandLine
from pipelines.drift.checks import DriftLimits
from pipelines.errors import UsageError
from pipelines.flags import (
    NO_FLAGS,
    at_least_1,
    common_flag,
    days,
    flag,
    must_match,
    not_empty,
    positive,
    ratio,
)
from pipelines.run_log import LogFormat, RunLog
from pipelines.storage.store import StoreSettings
from pipelines.storage.worker_settings import WorkerSettings
from schemas.artifact import MediaType
from schemas.artifact_files import ARTIFACT_FILE
from schemas.precision import Engine, Precision
from schemas.tables import SCORE

T = TypeVar("T", bound="RunOptions")


def artifact_folder(text: str) -> str:
    """The absolute address of an artifact, for argparse.

    Raises:
        argparse.ArgumentTypeError: it is not an address, or a file of an artifact.
    """
    uri = address(text)
    if uri.endswith(f"/{ARTIFACT_FILE}"):
        raise argparse.ArgumentTypeError(f"{text!r} is a file: give the folder that contains it")
    return uri


@dataclass(frozen=True, kw_only=True)
class RunOptions(ReaderOptions):
    """How a run is made, whatever chips it scores.

    Attributes:
        run_date: the night that names the partition, YYYY-MM-DD; it selects nothing.
        run_date_given: whether the command line named it.
        threats: the labels that count as threats from this run on; "": as before.
        rescore: also whether a published run is replaced.
        drift: when a night is bad, and whether it is then held.
        beam_args: the flags that are Beam's own.
        kind: what the run does, one of `runs.kind`.
        run_id_flag: the flag that names the run.
    """

    removed_flags: ClassVar = ("--share_model",)
    kind: ClassVar[str] = SCORE
    run_id_flag: ClassVar[str] = "--run_id"

    artifact: str = flag(
        "The model artifact that the trainer wrote.", artifact_folder, metavar="URI"
    )
    trusted_key: str | None = TRUSTED_KEY(default=None)
    output: str = OUTPUT()
    run_date: str = common_flag(
        "The run's night: today, yesterday or YYYY-MM-DD (UTC). Default: today.",
        not_empty,
        metavar="DATE",
        default="",
    )
    run_id: str = common_flag(
        "The name of the run. Give the name of an unfinished run to resume it. "
        f"{RUN_DATE_IN_ID} in it is replaced by the night. Default: a new name.",
        not_empty,
        metavar="ID",
        default="",
    )
    batch_size: int | None = flag(
        "Score this many chips in one call of the model. Default: 256; a large run on a GPU "
        "tries several sizes.",
        at_least_1,
        default=None,
    )
    precision: Precision = flag(
        "The precision of the model's computation. int8 is the fastest on a CPU, and its scores "
        "differ a little.",
        must_match=True,
        default="auto",
    )
    engine: Engine = flag(
        "What computes the model: auto is TensorFlow on a GPU, and OpenVINO on a CPU if the "
        "artifact has the network for it.",
        default="auto",
    )
    max_quarantine_ratio: float = flag(
        "Publish nothing if a larger share of the chips is quarantined.", ratio, default=0.2
    )
    gcs_reads_per_second: float = flag(
        "The reads per second that a process sends to a gs:// bucket at first. The rate "
        "doubles every 20 minutes.",
        positive,
        metavar="N",
        default=StoreSettings.gcs_reads_per_second,
    )
    keep_staging_days: int = flag(
        "Delete what dead runs staged after this many days.", days, default=7
    )
    gpu: str | None = flag(
        "The GPU of each Dataflow worker, for example nvidia-l4. Default: none.",
        choices=tuple(GPU_TYPES),
        metavar="TYPE",
        default=None,
    )
    log_format: LogFormat = flag(
        "text prints warnings for people, json prints events too, one per line.", default="text"
    )
    run_date_given: bool = False
    rescore: bool = False
    threats: str = ""
    plan_only: bool = False
    drift: DriftLimits = field(default_factory=DriftLimits, metadata=NO_FLAGS)
    beam_args: tuple[str, ...] = ()

    @property
    def stores(self) -> StoreSettings:
        """The settings, as every process of the run takes them."""
        return replace(super().stores, gcs_reads_per_second=self.gcs_reads_per_second)

    @property
    def worker_settings(self) -> WorkerSettings:
        """What every process of the run applies."""
        return WorkerSettings(RunLog(self.run_id, self.log_format), self.stores, self.skip_damaged)

    def addresses(self) -> dict[str, str]:
        """Flag to its address, of those that every worker has to reach."""
        return {"--artifact": self.artifact, "--output": self.output}

    def recorded(self) -> dict[str, Any]:
        """The options as the run's record stores them. Beam's may contain credentials and are
        left out."""
        return {
            "artifact": self.artifact,
            "batch_size": self.batch_size,
            "precision": self.precision,
            "engine": self.engine,
            "max_quarantine_ratio": self.max_quarantine_ratio,
            "rescore": self.rescore,
        }


@dataclass(frozen=True, kw_only=True)
class ScoreOptions(RunOptions):
    """The options of the scoring job."""

    chips: str = flag(
        "The chips: a folder, a prefix, a glob, or a manifest; with --cut_px, the scenes.",
        address,
        metavar="URI",
        must_match=True,
    )
    media_type: MediaType | None = common_flag(
        "Score only chips of this type.", must_match=True, default=None
    )
    max_chips: int | None = common_flag(
        "Score the newest N chips, and leave the others to the next run.",
        at_least_1,
        must_match=True,
        default=None,
    )
    sidecar: str | None = flag(
        "A csv or Parquet file with time, scene and bounding box of chips, by chip_id or chip_uri.",
        address,
        metavar="FILE",
        must_match=True,
        default=None,
    )
    threats: str = flag(
        "The labels that count as threats from this night on, with commas between them. Default: "
        "as before, or those of Planet's labels.",
        not_empty,
        metavar="LABELS",
        default="",
    )
    plan_only: bool = common_flag("Write the run's manifest, and score nothing.", default=False)
    rescore: bool = common_flag(
        "Also score chips that this model has scored before.", must_match=True, default=False
    )
    estimate: bool = common_flag(
        "Print how long the run would take and what it would cost. Writes nothing.", default=False
    )
    estimate_options: EstimateOptions = field(default_factory=EstimateOptions)
    drift: DriftLimits = field(default_factory=DriftLimits)
    cutting: CutOptions = field(default_factory=CutOptions)

    def addresses(self) -> dict[str, str]:
        """Flag to its address, of those that every worker has to reach."""
        return {"--chips": self.chips, **super().addresses()}

    def recorded(self) -> dict[str, Any]:
        """The options as the run's record stores them."""
        return {
            "chips": self.chips,
            "media_type": self.media_type,
            "max_chips": self.max_chips,
            "sidecar": self.sidecar,
            **self.cutting.recorded(),
            **super().recorded(),
            "drift": asdict(self.drift),
        }


ROW_OPTIONS = (*must_match(ScoreOptions), "replayed")
"""The recorded options that decide which rows a run publishes: a resumed run must have the same."""

SCORE_LINE = CommandLine(
    "beam_jobs.score_chips",
    ScoreOptions,
    "Score the chips of an archive and publish the labelled tables.\n"
    "All other flags are Beam's own (--runner, --project, --temp_location ...).",
)
"""The command line of the scoring job."""


def parse_score_options(arguments: Sequence[str], now: datetime) -> ScoreOptions:
    """The options of the scoring job; flags that are not its own are Beam's.

    Raises:
        UsageError: a missing flag, an invalid value, or flags that contradict each other.
    """
    options = parse_run_options(SCORE_LINE, arguments, now)
    if options.estimate and options.plan_only:
        raise UsageError(
            "--estimate writes nothing and --plan_only writes a plan: give one of them"
        )
    if not options.estimate:
        options.estimate_options.check_unused()
    options.cutting.check(options.chips, options.media_type)
    return options


def parse_run_options(line: CommandLine[T], arguments: Sequence[str], now: datetime) -> T:
    """The options of a command that scores, with the run's night and name filled in.

    Raises:
        UsageError: a missing flag, or an invalid value.
    """
    given, beam_args = line.parse_known(arguments)
    run_date = parse_run_date(given.run_date or "today", now)
    run_id = given.run_id.replace(RUN_DATE_IN_ID, run_date)
    return replace(
        given,
        run_date=run_date,
        run_date_given=bool(given.run_date),
        run_id=checked_run_id(run_id) if run_id else new_run_id(now),
        beam_args=tuple(beam_args),
    )
