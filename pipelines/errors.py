"""The errors of the project, and what each of them stops.

A `UsageError` is for the caller to fix (exit code 2); a `ChipRejected` costs one chip; a
`RunFailed` ends the run unpublished (exit code 1). Anything else is a bug and is not caught.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from schemas.artifact import ArtifactError
from schemas.tables import QuarantineReason


class UsageError(Exception):
    """A flag, an artifact or a manifest is wrong. One line: what, where, what to do."""


class RunFailed(Exception):
    """The run cannot be published; the message says why, and where to look."""


class StorageError(Exception):
    """An object could not be read, listed or written; the message names it."""


class StoreDown(StorageError):
    """A store does not answer at all; the object that was asked for is not the reason."""


class ObjectTooLarge(StorageError):
    """An object has more bytes than its reader allows; it was not read."""


class ObjectDamaged(StorageError):
    """An object's bytes are not what its metadata say."""


@contextmanager
def as_usage_error(
    source: str, kinds: tuple[type[Exception], ...] = (StorageError, ArtifactError)
) -> Iterator[None]:
    """Turn errors inside the context into usage errors that name their source: a flag, a file."""
    try:
        yield
    except kinds as error:
        raise UsageError(f"{source}: {error}") from error


class ChipRejected(Exception):
    """A chip cannot be scored.

    Attributes:
        reason: the reason for quarantine.
        message: what is wrong with this chip.
    """

    def __init__(self, reason: QuarantineReason, message: str) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return f"{self.reason.value}: {self.message}"
