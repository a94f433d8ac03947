"""Flags that every command which uses object stores has: how they are reached."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass

from pipelines.flags import flag, positive
from pipelines.storage.store import StoreSettings

_ENDPOINT = re.compile(r"https?://[^/@?#\s]+(?:/[^@?#\s]*)?")
_PROJECT = re.compile(r"[a-z0-9][\w.:-]{1,100}", re.ASCII)


def _endpoint(text: str) -> str:
    """The address of a store, without credentials: those stay in the environment."""
    if not _ENDPOINT.fullmatch(text):
        raise argparse.ArgumentTypeError("give http(s)://HOST[:PORT], without credentials")
    return text.rstrip("/")


def _project(text: str) -> str:
    if not _PROJECT.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not the id of a Google Cloud project")
    return text


@dataclass(frozen=True, kw_only=True)
class StoreOptions:
    """How object stores are reached; the options of every command that uses them inherit it."""

    storage_deadline: float = flag(
        "Repeat failing requests to a store for this many seconds.",
        positive,
        metavar="S",
        default=StoreSettings.deadline_s,
    )
    s3_endpoint: str = flag(
        "The S3-compatible store that s3:// addresses mean. Default: AWS_ENDPOINT_URL, or "
        "Amazon S3.",
        _endpoint,
        metavar="URL",
        default="",
    )
    s3_region: str = flag(
        "The region of s3:// addresses. Default: AWS_REGION.", metavar="NAME", default=""
    )
    s3_requester_pays: bool = flag(
        "Pay for requests to s3:// buckets whose owner does not.", default=False
    )
    gcs_user_project: str = flag(
        "The project that pays for requests to gs:// buckets whose owner does not.",
        _project,
        metavar="PROJECT",
        default="",
    )

    @property
    def stores(self) -> StoreSettings:
        """The settings, as every process of the command takes them."""
        return StoreSettings(
            deadline_s=self.storage_deadline,
            s3_endpoint=self.s3_endpoint,
            s3_region=self.s3_region,
            s3_requester_pays=self.s3_requester_pays,
            gcs_user_project=self.gcs_user_project,
        )
