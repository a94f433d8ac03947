"""The flags by which a command's processes reach object stores."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

from beam_jobs.options.flag_types import positive
from pipelines.storage import store
from pipelines.storage.store import StoreSettings

_ENDPOINT = re.compile(r"https?://[^/@?#\s]+(?:/[^@?#\s]*)?")


def add_store_flags(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of every command that opens tables."""
    add = parser.add_argument
    deadline = "seconds over which failing requests to a store are repeated; default: 60"
    add("--storage_deadline", type=positive, default=60.0, metavar="S", help=deadline)
    endpoint = "a store that speaks S3, for s3:// addresses; default: AWS_ENDPOINT_URL, or Amazon"
    add("--s3_endpoint", type=_endpoint, metavar="URL", help=endpoint)
    region = "region of s3:// addresses; default: AWS_REGION"
    add("--s3_region", default="", metavar="NAME", help=region)


def parse_and_configure(
    parser: argparse.ArgumentParser, arguments: Sequence[str]
) -> argparse.Namespace:
    """Read a command line that has the flags of `add_store_flags`, too, and set this process so."""
    add_store_flags(parser)
    given = parser.parse_args(arguments)
    store.configure(store_settings(given))
    return given


def store_settings(given: argparse.Namespace) -> StoreSettings:
    """The settings that the flags of `add_store_flags`, and of a run, come to."""
    run = {"gcs_reads_per_second"} & {*vars(given)}
    return StoreSettings(
        deadline_s=given.storage_deadline,
        s3_endpoint=given.s3_endpoint or "",
        s3_region=given.s3_region,
        **{name: getattr(given, name) for name in run},
    )


def _endpoint(text: str) -> str:
    """An address of a store, without credentials: those stay in the environment."""
    if not _ENDPOINT.fullmatch(text):
        raise argparse.ArgumentTypeError("give http(s)://HOST[:PORT], without credentials")
    return text.rstrip("/")
