"""Flags of the command lines of `train` and `beam_jobs`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any


class _Removed(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        print(
            f"warning: {option_string} has no effect any more; the next release refuses it",
            file=sys.stderr,
        )


def add_removed_flag(parser: argparse.ArgumentParser, name: str, takes_value: bool) -> None:
    """Accept a flag of the last release, which now does nothing but print a warning."""
    parser.add_argument(
        name,
        action=_Removed,
        nargs=None if takes_value else 0,
        default=argparse.SUPPRESS,
        help=argparse.SUPPRESS,
    )
