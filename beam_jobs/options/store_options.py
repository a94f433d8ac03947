"""Flags that every command on the tables shares: where they are, and how stores are reached."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from functools import partial

from pipelines.errors import UsageError
from pipelines.flags import flag, positive
from pipelines.storage import store
from pipelines.storage.store import StoreSettings

_ENDPOINT = re.compile(r"https?://[^/@?#\s]+(?:/[^@?#\s]*)?")


def address(text: str) -> str:
    """An absolute address, for argparse.

    Raises:
        argparse.ArgumentTypeError: it is empty, signed, or of an unknown scheme.
    """
    if not text:  # an unset variable in a script must not mean the working directory
        raise argparse.ArgumentTypeError("the address is empty")
    try:
        return store.absolute_uri(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


OUTPUT = partial(flag, "The address of the tables.", address, metavar="URI")
"""The flag `--output`."""


def _endpoint(text: str) -> str:
    """The address of a store, without credentials: those stay in the environment."""
    if not _ENDPOINT.fullmatch(text):
        raise argparse.ArgumentTypeError("give http(s)://HOST[:PORT], without credentials")
    return text.rstrip("/")


@dataclass(frozen=True, kw_only=True)
class StoreOptions:
    """How object stores are reached; the options of a command inherit it."""

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

    @property
    def stores(self) -> StoreSettings:
        """The settings, as every process of the command takes them."""
        return StoreSettings(
            deadline_s=self.storage_deadline, s3_endpoint=self.s3_endpoint, s3_region=self.s3_region
        )
