"""The errors of the project: what went wrong decides who hears of it and how.

A `UsageError` is the caller's to mend (exit code 2); a `ChipRejected` costs one chip; a
`RunFailed` ends the run unpublished (exit code 1). Anything else is a bug and stays loud.
"""

from __future__ import annotations

from schemas.tables import QuarantineReason


class UsageError(Exception):
    """Wrong use: a flag, an artifact or a manifest. One line: what, where, what to do."""


class RunFailed(Exception):
    """The run cannot be published; the message says why and where its traces lie."""


class StorageError(Exception):
    """An object could not be read, listed or written; the message names it."""


class StoreDown(StorageError):
    """A store answers no request at all: no fault of the object that was asked for."""


class ObjectTooLarge(StorageError):
    """An object has more bytes than its reader allows; nothing of it was read."""


class ChipRejected(Exception):
    """A chip cannot be scored.

    Attributes:
        reason: one of the closed list.
        message: what was wrong with this chip.
    """

    def __init__(self, reason: QuarantineReason, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return f"{self.reason.value}: {self.message}"
