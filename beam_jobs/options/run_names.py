"""Names and nights of runs, as flags set them."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from beam_jobs.options.store_options import OUTPUT
from pipelines.errors import UsageError
from pipelines.flags import flag
from pipelines.moments import parse_date

RUN_DATE_IN_ID = "{run_date}"
"""Replaced by the night in `--run_id`, so that one command names a new run each night."""

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def parse_run_date(text: str, now: datetime) -> str:
    """The date that `today`, `yesterday` (UTC) or YYYY-MM-DD means, as YYYY-MM-DD.

    Raises:
        UsageError: anything else.
    """
    today = now.astimezone(UTC).date()
    if text in ("today", "yesterday"):
        return str(today - timedelta(days=text == "yesterday"))
    try:
        return str(parse_date(text))
    except ValueError as error:
        raise UsageError(
            f"--run_date {text!r} is not a date: use YYYY-MM-DD, today or yesterday"
        ) from error


def new_run_id(now: datetime) -> str:
    """A name that no other run has: the time, and eight random digits."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def checked_run_id(run_id: str) -> str:
    """A run's name that can be part of an address.

    Raises:
        UsageError: it cannot.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise UsageError(
            f"--run_id {run_id!r}: use letters, digits, '.', '_' and '-', at most 100 of them"
        )
    return run_id


@dataclass(frozen=True, kw_only=True)
class OneRunOptions:
    """The options of a command on one run."""

    output: str = OUTPUT()
    run_id: str = flag("The name of the run.", checked_run_id, metavar="ID")


NEW_RUN_ID = partial(
    flag,
    "The name of the new run, or of an unfinished one to resume. Default: a new name.",
    metavar="ID",
    default="",
)
"""The flag that names the run of a command that makes one."""
