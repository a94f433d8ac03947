"""What the local engines and TensorFlow say, made fit for a terminal, and what errors mean.

Prism sends its own log and its workers' through the launcher, INFO included; and it ends each
worker by a signal, which it then reports as an error. The wording is that of Beam 2.77.
"""

from __future__ import annotations

import logging
import re

_EXPECTED = re.compile(
    r"Really (starting|destroying) service"  # Prism's start and end
    r"|process failed while running.*killed"  # how it ends a worker whose work is done
    r"|No (session file|semi_persistent_directory) found"  # no main session is sent: none is needed
    r"|Discarding unparseable args"  # flags that only the launcher knows
    r"|send on closed channel"  # a stack of Go's, after a worker's death that was told before
    r"|Failed to read inputs in the data plane"  # a worker's death again
    r"|absl::InitializeLog\(\)|^(\[SDK\] )?[IE]0000 .*(port|cudart_stub|cuda_platform)\.cc"
)
_OURS = ("pipelines", "beam_jobs")
_OUR_EVENT = re.compile(r'\\?"event\\?": ')  # of a worker with --log_format json
_WORKERS_LOG = "apache_beam.runners.portability.local_job_service"
_TROUBLE = {
    r"SDK worker disconnected|Channel closed prematurely|Worker subprocess exited|^RpcError$": (
        "a worker's process ended in mid-run: killed, or out of memory"
    ),
    r"didn't get control connection": "no worker was ready within the minute that Prism waits",
}
"""What engines say of workers that fail without an error of their own, and what it means."""


def calm_log() -> None:
    """Keep what every run says off standard error, and let the workers' events through."""
    logging.getLogger(_WORKERS_LOG).setLevel(logging.INFO)
    for handler in logging.getLogger().handlers:
        if type(handler) is logging.StreamHandler:
            handler.addFilter(is_news)


def is_news(record: logging.LogRecord) -> bool:
    """Whether a record is a warning or worse that not every run gives, or an event of our own.

    A handler has to ask: Beam finds out the level of Prism's records after their logger took them.
    """
    if record.levelno < logging.WARNING:
        return record.name.startswith(_OURS) or bool(_OUR_EVENT.search(record.getMessage()))
    return not _EXPECTED.search(record.getMessage())


def worker_trouble(error: BaseException) -> str:
    """What an engine's error says of a worker that failed without an error of its own; "" if it
    says nothing of the kind."""
    told = str(error) or type(error).__name__  # gRPC's own has no text where a worker is lost
    return next((meaning for said, meaning in _TROUBLE.items() if re.search(said, told)), "")
