"""Run a graph on the engine that Beam's flags name, with a progress bar on a terminal."""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn, TypeVar

import apache_beam as beam
from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions, _BeamArgumentParser
from apache_beam.runners.runner import PipelineState, create_runner
from tqdm import tqdm

from beam_jobs.dataflow.workers import given_flags
from beam_jobs.engine.engine_log import calm_log, worker_trouble
from beam_jobs.engine.interruptible import run_interruptibly
from beam_jobs.engine.source_package import source_to_stage, with_source_package
from beam_jobs.engine.worker_processes import end_worker_processes
from pipelines.commands import in_plain_words
from pipelines.errors import RunFailed, StorageError, UsageError
from pipelines.metrics import COUNTERS, NAMESPACE
from pipelines.wording import nearest
from schemas.artifact import ArtifactError

T = TypeVar("T")

IN_PROCESS_ENGINE = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
"""The engine without `--runner`. Beam's own default may download a binary and run it."""

_LOCAL_RUNNERS = ("", "DirectRunner", "FnApiRunner", "PrismRunner", IN_PROCESS_ENGINE)
_WORKER_ERROR = re.compile(
    r"\b(?:pipelines\.errors\.(?:StorageError|StoreDown|UsageError)|"
    r"schemas\.networks\.keras_config\.ArtifactError): "
    r"(.*?)(?: \[while running|\\n|\n|$)"
)
_WHILE = re.compile(r" \[while running .*", re.DOTALL)
_PRISM_ARGS = ["--job_server_timeout=86400"]
"""Beam 2.77 ends a run on Prism that takes longer than this many seconds: 300 by default."""

_POLL_SECONDS = 1.0
_REPORTED_ERRORS = (KeyboardInterrupt, RunFailed, StorageError, UsageError, ArtifactError)


def check_beam_args(beam_args: Sequence[str], our_flags: Sequence[str]) -> None:
    """Refuse flags that are neither ours nor Beam's, which Beam would silently ignore.

    Raises:
        UsageError: an unknown flag or an invalid value; suggests the nearest known flag.
    """
    parser = _StrictParser(allow_abbrev=False, add_help=False)
    for options_class in _option_classes(PipelineOptions):
        options_class._add_argparse_args(parser)
    _, unknown = parser.parse_known_args(list(beam_args))
    if not unknown:
        _check_runner(runner_of(beam_args))
        source_to_stage(beam_args)
        return
    flag = unknown[0].split("=")[0]
    known = [*our_flags, *parser._option_string_actions]
    meant = nearest(flag, known)
    hint = f"; did you mean {meant}?" if meant else "; see --help"
    raise UsageError(f"unknown argument {unknown[0]!r}{hint}")


def runner_of(beam_args: Sequence[str]) -> str:
    """Name of the runner in Beam's flags; "" without one."""
    return str(given_flags(beam_args)["runner"] or "")


def with_defaults(beam_args: Sequence[str]) -> list[str]:
    """Beam's flags, and before them our defaults, which they replace."""
    runner = runner_of(beam_args)
    defaults = {"": [f"--runner={IN_PROCESS_ENGINE}"], "PrismRunner": _PRISM_ARGS}
    return [*defaults.get(runner, []), *beam_args]


def runs_locally(beam_args: Sequence[str]) -> bool:
    """Whether the graph will run on this machine."""
    return runner_of(beam_args) in _LOCAL_RUNNERS


def only_submits(beam_args: Sequence[str]) -> bool:
    """Whether Beam stores the job for later, as a Flex Template's launcher does: then `run_graph`
    returns at once and does not wait for the job."""
    return bool(given_flags(beam_args).get("template_location"))


def run_graph(
    graph: beam.PTransform, beam_args: Sequence[str], chips: int, chips_done: Callable[[], int]
) -> dict[str, int]:
    """Build a pipeline with one transform, run it and wait for its end.

    Args:
        graph: the transform, applied to the pipeline itself.
        beam_args: Beam's flags.
        chips: number of chips to score.
        chips_done: returns how many are done; called from another thread.

    Returns:
        The engine's counters of the job; empty if it has none, or the job is only submitted.

    Raises:
        RunFailed: the engine does not report success, or a worker process failed.
    """
    calm_log()
    logging.getLogger("apache_beam.runners.common").addFilter(_is_not_reported)
    shown = (
        contextlib.nullcontext() if only_submits(beam_args) else _progress_bar(chips, chips_done)
    )
    with with_source_package(beam_args) as args, shown:
        args = with_defaults(args)
        pipeline = beam.Pipeline(options=PipelineOptions(args))
        pipeline | graph
        result = _run(pipeline, in_process=runner_of(args) == IN_PROCESS_ENGINE)
    return {} if only_submits(beam_args) else _counters(result)


def submit_nothing(beam_args: Sequence[str]) -> None:
    """Submit a job without work: Dataflow treats a Flex Template's launcher that leaves no job as
    failed."""
    run_graph(AlreadyPublished(), beam_args, 0, lambda: 0)


class AlreadyPublished(beam.PTransform):
    """An empty graph, with a name that says why."""

    def expand(self, pbegin: beam.pvalue.PBegin) -> beam.PCollection[str]:
        return pbegin | beam.Create([""], reshuffle=False)


def error_in(error: Exception) -> str | None:
    """The message of a store's or an artifact's error on a worker, which engines wrap in pages of
    text; None if there is none."""
    if isinstance(error, StorageError):
        return _WHILE.sub("", str(error))
    found = _WORKER_ERROR.findall(str(error))
    return str(found[-1]) if found else None


def _run(pipeline: beam.Pipeline, in_process: bool) -> Any:
    """Run and wait; returns the result."""

    def run() -> tuple[Any, str | None]:
        result = pipeline.run()
        return result, result.wait_until_finish()

    try:
        # Other engines wait in a way that can be interrupted, and some set signal handlers, which
        # only the main thread may.
        result, state = _run_in_process(run) if in_process else run()
    except Exception as error:
        if not (trouble := worker_trouble(error)):
            raise
        raise RunFailed(
            f"{trouble}; nothing was published; the same command with the same --run_id resumes it"
        ) from error
    if state not in (PipelineState.DONE, None):
        raise RunFailed(f"the engine ended in state {state}; nothing was published")
    return result


def _run_in_process(run: Callable[[], T]) -> T:
    try:
        return run_interruptibly(run, worker_trouble)
    except BaseException:
        end_worker_processes()  # of the other workers
        raise


def _counters(result: Any) -> dict[str, int]:
    """Counters of our own names: Prism has many more."""
    found: dict[str, int] = {}
    for name in COUNTERS:
        query = MetricsFilter().with_namespace(NAMESPACE).with_name(name)
        for counter in result.metrics().query(query)["counters"]:
            found[name] = found.get(name, 0) + int(counter.result)
    return {name: count for name, count in found.items() if count}


@contextlib.contextmanager
def _progress_bar(chips: int, chips_done: Callable[[], int]) -> Iterator[None]:
    """Number of chips done, on standard error if it is a terminal. The in-process engine blocks the
    main thread and other engines report late, so a thread watches."""
    ended = threading.Event()
    bar = tqdm(total=chips, unit="chip", desc="scoring", disable=None)
    if bar.disable:  # counting may list the object store
        yield
        return

    def show(done: int) -> None:
        bar.update(max(0, min(chips, done) - bar.n))

    def watch() -> None:
        while not ended.wait(_POLL_SECONDS):
            show(chips_done())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
        show(chips)  # the run is published, and its staging folder is gone
    finally:
        ended.set()
        watcher.join()
        bar.close()


class _StrictParser(_BeamArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(in_plain_words(message))


def _option_classes(above: Any) -> Iterator[Any]:
    """Beam's option classes that declare flags."""
    for options_class in above.__subclasses__():
        if "_add_argparse_args" in vars(options_class):
            yield options_class
        yield from _option_classes(options_class)


def _check_runner(name: str) -> None:
    if not name:
        return
    try:
        create_runner(name)
    except (ValueError, ImportError, AttributeError) as error:
        raise UsageError(f"--runner {name}: {str(error).splitlines()[0]}") from error


def _is_not_reported(record: logging.LogRecord) -> bool:
    """Whether a log record is anything but an error that the command reports in its last line."""
    return not (record.exc_info and isinstance(record.exc_info[1], _REPORTED_ERRORS))
