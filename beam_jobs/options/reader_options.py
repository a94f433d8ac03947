"""What damage to the tables means to a command that reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pipelines.flags import flag
from pipelines.storage.store_flags import StoreOptions
from pipelines.tables.damage import without_damage

T = TypeVar("T")


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
