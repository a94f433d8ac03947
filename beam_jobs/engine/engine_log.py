"""Filters the local engines' logs for a terminal, and explains their errors.

Prism sends its own log and its workers' logs through the launcher, INFO included. It ends each
worker with a signal, which it then reports as an error. The texts are those of Beam 2.77.
"""

from __future__ import annotations

import logging
import re

_EXPECTED = re.compile(
    r"Really (starting|destroying) service"  # Prism's start and end
    r"|process failed while running.*killed"  # how it ends a worker that has finished
    r"|No (session file|semi_persistent_directory) found"  # no main session is sent, none is needed
    r"|Discarding unparseable args"  # flags for the launcher only
    r"|send on closed channel"  # a Go stack after a worker's death, which was reported before
    r"|Failed to read inputs in the data plane"  # also a worker's death
    r"|absl::InitializeLog\(\)|^(\[SDK\] )?[IE]0000 .*(port|cudart_stub|cuda_platform)\.cc"
)
_OURS = ("pipelines", "beam_jobs")
_OUR_EVENT = re.compile(r'\\?"event\\?": ')  # of a worker with --log_format json
_WORKERS_LOG = "apache_beam.runners.portability.local_job_service"
_TROUBLE = {
    r"SDK worker disconnected|Channel closed prematurely|Worker subprocess exited|^RpcError$": (
        "a worker process ended during the run: killed, or out of memory"
    ),
    r"didn't get control connection": "no worker was ready within the minute that Prism waits",
    r"RPC that terminated with:\s+status = StatusCode.DEADLINE_EXCEEDED": (
        "the engine has not ended the run within --job_server_timeout"
    ),
}
"""Engines' messages about workers that fail without an error of their own, and their meaning."""


def calm_log() -> None:
    """Keep messages that every run has off standard error, and let the workers' events through."""
    logging.getLogger(_WORKERS_LOG).setLevel(logging.INFO)
    for handler in logging.getLogger().handlers:
        if type(handler) is logging.StreamHandler:
            handler.addFilter(is_news)


def is_news(record: logging.LogRecord) -> bool:
    """Whether a record is an event of our own, or a warning or worse that not every run has.

    A filter of the handler: Beam sets the level of Prism's records after their logger took them.
    """
    if record.levelno < logging.WARNING:
        return record.name.startswith(_OURS) or bool(_OUR_EVENT.search(record.getMessage()))
    return not _EXPECTED.search(record.getMessage())


def worker_trouble(error: BaseException) -> str:
    """Why a worker failed without an error of its own, from the engine's error; "" if that is not
    what happened."""
    text = str(error) or type(error).__name__  # gRPC's error has no text if a worker is lost
    return next((why for pattern, why in _TROUBLE.items() if re.search(pattern, text)), "")
