"""What went wrong with an object, in one line that names it."""

from __future__ import annotations

import re

from obstore.exceptions import AlreadyExistsError, InvalidPathError, NotFoundError
from obstore.exceptions import BaseError as ObstoreError

from pipelines.errors import StorageError

ACCESS_ERRORS = (OSError, ValueError, ObstoreError)
"""What the operating system and obstore raise for an object that they cannot reach."""

MISSING_ERRORS = (FileNotFoundError, NotADirectoryError, NotFoundError)
"""Those of them that say that there is no such object."""

TAKEN_ERRORS = (FileExistsError, AlreadyExistsError)
"""Those of them that say that there is such an object already."""

_ERROR_CODE = re.compile(r"<Code>(\w+)</Code>")
_REQUEST_NOISE = re.compile(r" in [\d.]+[nµm]?s\b|: <\?xml .*", re.DOTALL)
_MAX_DETAIL = 300


def storage_error(verb: str, uri: str, error: Exception) -> StorageError:
    """One line; obstore's own texts go on for many, with the request and its headers."""
    return StorageError(f"cannot {verb} {uri!r}: {_detail(error)}")


def _detail(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error).partition("\n\nDebug source:")[0]
    code = _ERROR_CODE.search(text)
    if isinstance(error, FileNotFoundError | NotFoundError):
        return "no such bucket" if code and code[1] == "NoSuchBucket" else "no such object"
    text = _REQUEST_NOISE.sub("", text).strip() or type(error).__name__
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    if isinstance(error, InvalidPathError):
        line += " (rename that object, or name the chips in a manifest)"
    return line[:_MAX_DETAIL] + (f" ({code[1]})" if code else "")
