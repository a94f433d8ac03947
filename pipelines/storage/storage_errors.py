"""Errors of stores: one line that names the object and contains no credentials.

`translate_errors` is the one place that turns the errors of the operating system, of obstore and of
the stores' own clients into a `StorageError`.
"""

from __future__ import annotations

import os
import re
from types import TracebackType

from obstore.exceptions import BaseError as ObstoreError
from obstore.exceptions import InvalidPathError, NotFoundError

from pipelines.errors import StorageError

ACCESS_ERRORS = (OSError, ValueError, ObstoreError)
"""What the operating system and obstore raise if they cannot reach an object."""

MISSING_ERRORS = (FileNotFoundError, NotADirectoryError, NotFoundError)
"""Those that mean that there is no such object."""

SIGNED = re.compile(
    r"[?&](?:X-Amz-(?:Credential|Signature|Security-Token)|X-Goog-(?:Credential|Signature)"
    r"|AWSAccessKeyId|GoogleAccessId|Signature|sig|token)=",
    re.IGNORECASE,
)
"""What a signed address, which carries its own permission, contains."""

_ERROR_CODE = re.compile(r"<Code>(\w+)</Code>")
_REQUEST_NOISE = re.compile(
    r" in [\d.]+[nµm]?s\b|, max_retries: \d+, retry_timeout: \S+ |: <\?xml .*", re.DOTALL
)
_PASSING = re.compile(r"HTTP error|status code: (?:408|429|5\d\d)")
_USER_IN_URL = re.compile(r"(?<=://)[^/@\s]+@")
_SECRET_VALUE = re.compile(SIGNED.pattern + r"[^&\s'\"]*", re.IGNORECASE)
_SECRET_VARIABLE = re.compile(r"SECRET|TOKEN|PASSWORD|ACCESS_KEY|SERVICE_ACCOUNT_KEY|CREDENTIAL")
_MEANINGS = {
    "UserProjectMissing": "its readers pay: name the project that pays with --gcs_user_project "
    "(not for tables: --output must be in a bucket whose owner pays)",
    "no user project provided": "its readers pay: name the project that pays with "
    "--gcs_user_project (not for tables: --output must be in a bucket whose owner pays)",
    "/computeMetadata/": "no Google credentials were found: GOOGLE_APPLICATION_CREDENTIALS is not "
    "set, there is no file of `gcloud auth application-default login`, and no metadata service of "
    "a machine in Google Cloud answers",
    "/latest/api/token": "no AWS credentials were found: there are none in the environment and in "
    "~/.aws, and the metadata service of EC2 does not answer",
}
"""What an error means that contains one of these texts."""

_MAY_PAY = " (if readers pay for this bucket: --s3_requester_pays)"
_SHORTEST_SECRET = 6  # a shorter value could be any word of a message
_MAX_DETAIL = 300


class translate_errors:  # a class, since a generator would slow down each read
    """Raise a `StorageError` for any error within the context that is one of `errors`.

    Args:
        verb: what failed, as in "cannot VERB URI: ...".
        uri: the object.
        errors: the errors to translate.
    """

    __slots__ = ("_errors", "_uri", "_verb")

    def __init__(
        self, verb: str, uri: str, errors: tuple[type[Exception], ...] = ACCESS_ERRORS
    ) -> None:
        self._verb, self._uri, self._errors = verb, uri, errors

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        if isinstance(error, self._errors):
            raise storage_error(self._verb, self._uri, error) from error


def storage_error(verb: str, uri: str, error: Exception) -> StorageError:
    """The translation of an error of `ACCESS_ERRORS`."""
    hint = _MAY_PAY if uri.startswith("s3://") and "403 Forbidden" in str(error) else ""
    return StorageError(f"cannot {verb} {without_secrets(uri)!r}: {detail(error)}{hint}")


def is_temporary(error: Exception) -> bool:
    """Whether the same request may succeed later: no answer, part of one, 408, 429 or 5xx."""
    return _PASSING.search(str(error)) is not None


def detail(error: Exception) -> str:
    """The message of an error in one line; obstore's own texts add the request and its headers."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error).partition("\n\nDebug source:")[0]
    code = _ERROR_CODE.search(text)
    if isinstance(error, FileNotFoundError | NotFoundError):
        return "no such bucket" if code and code[1] == "NoSuchBucket" else "no such object"
    for sign, meaning in _MEANINGS.items():
        if sign in text:
            return meaning + (f" ({code[1]})" if code else "")
    text = _REQUEST_NOISE.sub("", text).strip() or type(error).__name__
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in without_secrets(text))
    if isinstance(error, InvalidPathError):
        line += " (rename that object)"
    return line[:_MAX_DETAIL] + (f" ({code[1]})" if code else "")


def without_secrets(text: str) -> str:
    """A text without the secrets of the environment and without the signatures of URLs."""
    text = _USER_IN_URL.sub("***@", text)
    text = _SECRET_VALUE.sub(lambda found: found[0].partition("=")[0] + "=***", text)
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST_SECRET and _SECRET_VARIABLE.search(name.upper()):
            text = text.replace(value, "***")
    return text
