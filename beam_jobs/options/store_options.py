"""The flags that commands on the tables share: where they are, and what damage to them means."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from pipelines.errors import UsageError
from pipelines.flags import flag
from pipelines.storage import store
from pipelines.storage.store_flags import StoreOptions
from pipelines.tables.damage import without_damage

T = TypeVar("T")


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


@dataclass(frozen=True, kw_only=True)
class ReaderOptions(StoreOptions):
    """The options of every command that reads rows of the tables."""

    skip_damaged: bool = flag(
        "If files of the tables are missing or damaged, warn, and go on without their rows. "
        "Default: stop, and name them.",
        default=False,
    )

    def reading(self, output: str, work: Callable[[], T]) -> T:
        """Do some work that reads the tables of an OUTPUT; it may be done several times.

        Raises:
            StorageError: files are damaged, and not skipped.
        """
        return without_damage(output, self.skip_damaged, work)
