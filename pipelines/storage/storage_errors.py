"""What went wrong with an object, in one line that names it and gives no credentials away."""

from __future__ import annotations

import os
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

SIGNED = re.compile(
    r"[?&](?:X-Amz-(?:Credential|Signature|Security-Token)|X-Goog-(?:Credential|Signature)"
    r"|AWSAccessKeyId|GoogleAccessId|Signature|sig|token)=",
    re.IGNORECASE,
)
"""What an address that carries its own permission has in it."""

_ERROR_CODE = re.compile(r"<Code>(\w+)</Code>")
_REQUEST_NOISE = re.compile(
    r" in [\d.]+[nµm]?s\b|, max_retries: \d+, retry_timeout: \S+ |: <\?xml .*", re.DOTALL
)
_PASSING = re.compile(r"HTTP error|status code: (?:408|429|5\d\d)")
_USER_IN_URL = re.compile(r"(?<=://)[^/@\s]+@")
_SECRET_VALUE = re.compile(SIGNED.pattern + r"[^&\s'\"]*", re.IGNORECASE)
_SECRET_VARIABLE = re.compile(r"SECRET|TOKEN|PASSWORD|ACCESS_KEY|SERVICE_ACCOUNT_KEY|CREDENTIAL")
_SHORTEST_SECRET = 6  # what is shorter could be any word of a message
_MAX_DETAIL = 300


def storage_error(verb: str, uri: str, error: Exception) -> StorageError:
    """One line; obstore's own texts go on for many, with the request and its headers."""
    return StorageError(f"cannot {verb} {without_secrets(uri)!r}: {detail(error)}")


def is_passing(error: Exception) -> bool:
    """Whether the same request may succeed later: no answer, half of one, 408, 429 or 5xx."""
    return _PASSING.search(str(error)) is not None


def detail(error: Exception) -> str:
    """What an error of `ACCESS_ERRORS` says, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error).partition("\n\nDebug source:")[0]
    code = _ERROR_CODE.search(text)
    if isinstance(error, FileNotFoundError | NotFoundError):
        return "no such bucket" if code and code[1] == "NoSuchBucket" else "no such object"
    text = _REQUEST_NOISE.sub("", text).strip() or type(error).__name__
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in without_secrets(text))
    if isinstance(error, InvalidPathError):
        line += " (rename that object)"
    return line[:_MAX_DETAIL] + (f" ({code[1]})" if code else "")


def without_secrets(text: str) -> str:
    """A text without what the environment keeps secret, and without what signs a URL."""
    text = _USER_IN_URL.sub("***@", text)
    text = _SECRET_VALUE.sub(lambda found: found[0].partition("=")[0] + "=***", text)
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST_SECRET and _SECRET_VARIABLE.search(name.upper()):
            text = text.replace(value, "***")
    return text
