"""The scoring job's options: every flag said once, checked before anything is loaded."""

from __future__ import annotations

import argparse
import re
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar, get_args

from beam_jobs.command import CommandParser
from beam_jobs.options.accelerators import GPU_TYPES
from beam_jobs.options.drift_options import add_drift_flags, drift_limits
from beam_jobs.options.estimate_options import EstimateOptions, add_estimate_flags, estimate_options
from beam_jobs.options.flag_types import at_least_1, days, not_empty, positive, ratio
from beam_jobs.options.store_options import add_store_flags, store_settings
from pipelines import run_log
from pipelines.drift.checks import DriftLimits
from pipelines.errors import UsageError
from pipelines.flags import add_removed_flag
from pipelines.run_log import LogFormat
from pipelines.storage import store
from pipelines.storage.store import StoreSettings
from schemas.artifact import MediaType
from schemas.artifact_files import ARTIFACT_FILE
from schemas.precision import PRECISIONS, Precision
from schemas.tables import SCORE

RUN_DATE_IN_ID = "{run_date}"
"""Stands in `--run_id` for the night, so that the same command each night names another run."""

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def _not_empty(text: str) -> str:
    """An unset variable in a script must not come to mean the working directory."""
    if not text:
        raise argparse.ArgumentTypeError("the address is empty")
    return text


ADDRESS: dict[str, Any] = {"type": _not_empty, "required": True, "metavar": "URI"}
"""How a flag that names an address is declared."""


@dataclass(frozen=True)
class RunOptions:
    """How a run is made, whatever chips it scores.

    Attributes:
        artifact: absolute address of the model artifact.
        output: absolute address below which the tables lie.
        run_date: the night that names the partition, YYYY-MM-DD; it selects nothing.
        run_date_given: whether the command line named it.
        run_id: name of the run.
        batch_size: chips a call of the model; None leaves it to the worker.
        precision: what the model computes in.
        max_quarantine_ratio: share of the run's chips over which nothing is published.
        stores: which object stores every process asks, and how patiently.
        rescore: score chips that this model has done before, and replace a published run.
        plan_only: store the plan, and score nothing.
        keep_staging_days: days after which what a dead run has staged is deleted.
        log_format: text for people, json for machines.
        gpu: type of GPU that Dataflow attaches to each worker; None without.
        drift: when the night is a bad one, and what becomes of it then.
        beam_args: the flags that are Beam's own.
        kind: what the run does, one of `runs.kind`.
        run_id_flag: the flag that names the run.
    """

    artifact: str
    output: str
    run_date: str
    run_date_given: bool
    run_id: str
    batch_size: int | None
    precision: Precision
    max_quarantine_ratio: float
    stores: StoreSettings
    rescore: bool
    plan_only: bool
    keep_staging_days: int
    log_format: LogFormat
    gpu: str | None
    drift: DriftLimits
    beam_args: tuple[str, ...]

    kind: ClassVar[str] = SCORE
    run_id_flag: ClassVar[str] = "--run_id"

    def addresses(self) -> dict[str, str]:
        """Flag to the address that it names and every worker has to reach."""
        return {"--artifact": self.artifact, "--output": self.output}

    def recorded(self) -> dict[str, Any]:
        """The options as the run's record keeps them; Beam's may hold credentials and stay out."""
        return {
            "artifact": self.artifact,
            "batch_size": self.batch_size,
            "precision": self.precision,
            "max_quarantine_ratio": self.max_quarantine_ratio,
            "rescore": self.rescore,
        }


@dataclass(frozen=True)
class ScoreOptions(RunOptions):
    """What one run of the scoring job was asked to do.

    Attributes:
        chips: absolute address of a folder or prefix, a glob, or a manifest.
        media_type: only chips of this media type; None for whatever is there.
        max_chips: so many of the newest chips are scored; None for all.
        sidecar: absolute address of a table that tells more of the chips; None for none.
        estimate: how to tell what the run would take; None to run it.
    """

    chips: str
    media_type: MediaType | None
    max_chips: int | None
    sidecar: str | None
    estimate: EstimateOptions | None

    def addresses(self) -> dict[str, str]:
        """Flag to the address that it names and every worker has to reach."""
        return {"--chips": self.chips, **super().addresses()}

    def recorded(self) -> dict[str, Any]:
        """The options as the run's record keeps them."""
        return {
            "chips": self.chips,
            "media_type": self.media_type,
            "max_chips": self.max_chips,
            "sidecar": self.sidecar,
            **super().recorded(),
            "drift": asdict(self.drift),
        }


ROW_OPTIONS = (
    "chips",
    "media_type",
    "max_chips",
    "sidecar",
    "precision",
    "rescore",
    "replayed",
)
"""The recorded options that decide which rows a run publishes: a run that is gone on with must
have them as it was begun."""


def parse_score_options(argv: Sequence[str], now: datetime) -> ScoreOptions:
    """Read the command line; flags that are not ours are left to Beam in `beam_args`.

    Raises:
        UsageError: a value that cannot be; argparse's own complaints end the process (code 2).
    """
    given, beam_args = score_parser().parse_known_args(argv)
    if given.estimate and given.plan_only:
        raise UsageError(
            "--estimate writes nothing and --plan_only writes a plan: give one of them"
        )
    return ScoreOptions(
        chips=store.absolute_uri(given.chips),
        media_type=given.media_type,
        max_chips=given.max_chips,
        sidecar=store.absolute_uri(given.sidecar) if given.sidecar else None,
        estimate=estimate_options(given),
        **{**run_fields(given, beam_args, now), "drift": drift_limits(given)},
    )


def run_fields(
    given: argparse.Namespace, beam_args: Sequence[str], now: datetime
) -> dict[str, Any]:
    """The fields of `RunOptions` from flags that `add_run_flags` declared.

    Raises:
        UsageError: a value that cannot be.
    """
    run_date = parse_run_date(given.run_date or "today", now)
    run_id = (given.run_id or "").replace(RUN_DATE_IN_ID, run_date)
    return {
        "artifact": _folder_of_artifact(given.artifact),
        "output": store.absolute_uri(given.output),
        "run_date": run_date,
        "run_date_given": given.run_date is not None,
        "run_id": checked_run_id(run_id) if run_id else new_run_id(now),
        "batch_size": given.batch_size,
        "precision": given.precision,
        "max_quarantine_ratio": given.max_quarantine_ratio,
        "stores": store_settings(given),
        "rescore": getattr(given, "rescore", False),
        "plan_only": getattr(given, "plan_only", False),
        "keep_staging_days": given.keep_staging_days,
        "log_format": given.log_format,
        "gpu": given.gpu,
        "drift": DriftLimits(),  # of a night over an archive only
        "beam_args": tuple(beam_args),
    }


def _folder_of_artifact(given: str) -> str:
    uri = store.absolute_uri(given)
    if uri.endswith(f"/{ARTIFACT_FILE}"):
        raise UsageError(f"--artifact {given!r}: give the folder that this file lies in")
    return uri


def our_flags() -> list[str]:
    """The flags of the scoring job that are not Beam's."""
    return list(score_parser()._option_string_actions)


def parse_run_date(text: str, now: datetime) -> str:
    """`today`, `yesterday` (UTC) or a date as YYYY-MM-DD.

    Raises:
        UsageError: anything else.
    """
    today = now.astimezone(UTC).date()
    if text in ("today", "yesterday"):
        return str(today - timedelta(days=text == "yesterday"))
    try:
        found = date.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or str(found) != text:
        raise UsageError(f"--run_date {text!r} is no date: use YYYY-MM-DD, today or yesterday")
    return text


def new_run_id(now: datetime) -> str:
    """A name that no other run has: the time, for people, and some chance."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def checked_run_id(run_id: str) -> str:
    """A run's name that can stand in an address.

    Raises:
        UsageError: it cannot.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise UsageError(
            f"--run_id {run_id!r}: use letters, digits, '.', '_' and '-', at most 100 of them"
        )
    return run_id


def score_parser() -> argparse.ArgumentParser:
    """The scoring job's command line; every flag that it does not know is Beam's."""
    parser = CommandParser(
        prog="python -m beam_jobs.score_chips",
        description="Score the chips of an archive and publish the labelled tables.\n"
        "Every flag but these is Beam's own (--runner, --project, --temp_location ...).",
    )
    add = parser.add_argument
    add("--chips", help="folder, prefix, glob, or manifest", **ADDRESS)
    add("--media_type", choices=get_args(MediaType), help="only chips of this kind")
    newest = "score the newest N chips, and leave the others to the next run"
    add("--max_chips", type=at_least_1, metavar="N", help=newest)
    more = "csv or Parquet: observed_at, scene_id, bounding box by chip_id or chip_uri"
    add("--sidecar", type=_not_empty, metavar="FILE", help=more)
    add("--plan_only", action="store_true", help="write the manifest, and score nothing")
    add("--rescore", action="store_true", help="score again what this model has done")
    add_estimate_flags(parser)
    add_drift_flags(parser)
    add_run_flags(parser)
    return parser


def add_run_flags(parser: argparse.ArgumentParser, naming: str = "") -> None:
    """Declare the flags of every command that scores chips.

    Args:
        naming: what the flags that name the run begin with.
    """
    add = parser.add_argument
    add("--artifact", help="model artifact that the trainer wrote", **ADDRESS)
    add("--output", help="where the tables lie", **ADDRESS)
    night = "the run's night: today (default), yesterday or YYYY-MM-DD (UTC)"
    add(f"--{naming}run_date", dest="run_date", type=not_empty, metavar="DATE", help=night)
    name = "a run to begin or go on; default: a fresh one"
    add(f"--{naming}run_id", dest="run_id", type=not_empty, metavar="ID", help=name)
    default_batch = "default: 256; large runs on a GPU find it by trying"
    add("--batch_size", type=at_least_1, metavar="N", help=default_batch)
    add("--precision", choices=PRECISIONS, default="auto", help="default: %(default)s")
    share = "share of quarantined chips over which nothing is published; default: %(default)s"
    add("--max_quarantine_ratio", type=ratio, default=0.2, metavar="R", help=share)
    add_store_flags(parser)
    reads = "reads a process sends to a gs:// bucket at first; default: 5000"
    add("--gcs_reads_per_second", type=positive, default=5000.0, metavar="N", help=reads)
    kept = "what a dead run staged is deleted after N days; default: %(default)s"
    add("--keep_staging_days", type=days, default=7, metavar="N", help=kept)
    add_removed_flag(parser, "--share_model", takes_value=False)
    gpu = "GPU of each worker of Dataflow, for example nvidia-l4; default: none"
    add("--gpu", choices=tuple(GPU_TYPES), metavar="TYPE", help=gpu)
    log = "text: warnings, for people; json: events too, a line each; default: text"
    add("--log_format", choices=run_log.FORMATS, default="text", help=log)
