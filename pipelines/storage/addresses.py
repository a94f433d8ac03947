"""Addresses of objects: local paths, `gs://BUCKET/KEY` and `s3://BUCKET/KEY`."""

from __future__ import annotations

import os
import posixpath
from urllib.parse import unquote

from pipelines.errors import UsageError
from pipelines.storage.storage_errors import SIGNED

REMOTE_SCHEMES = ("gs", "s3")


def scheme_of(uri: str) -> str:
    """`gs`, `s3`, or "" for a local path.

    Raises:
        UsageError: another scheme.
    """
    scheme, separator, _ = uri.partition("://")
    if not separator or scheme == "file" or "/" in scheme:
        return ""
    if scheme not in REMOTE_SCHEMES:
        raise UsageError(f"{uri!r}: use a local path, gs:// or s3://, not {scheme}://")
    return scheme


def is_remote(uri: str) -> bool:
    """Whether an address is in an object store."""
    return scheme_of(uri) != ""


def split_uri(uri: str) -> tuple[str, str, str]:
    """Scheme, bucket and key of a remote address."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    return scheme, bucket, key


def absolute_uri(uri: str, base: str = "") -> str:
    """An address that does not depend on the working directory, without a trailing slash.

    A relative local path is resolved against `base` (an absolute folder) or the working directory;
    `file://` addresses become paths.

    Raises:
        UsageError: another scheme, an address that is signed, or a `file://` address of another
            machine.
    """
    if is_remote(uri):
        _check_unsigned(uri)
        scheme, _, rest = uri.partition("://")
        return f"{scheme}://{rest.rstrip('/')}"
    if uri.startswith("file://"):
        return os.path.abspath(_file_path(uri))
    if base and not os.path.isabs(uri):
        return _below(base, uri) if is_remote(base) else os.path.abspath(os.path.join(base, uri))
    return os.path.abspath(uri)


def join_uri(uri: str, *parts: str) -> str:
    """An address below another."""
    return "/".join([uri.rstrip("/"), *parts])


def parent_uri(uri: str) -> str:
    """The folder of an object."""
    return uri.rpartition("/")[0] or "/"


def file_stem(uri: str) -> str:
    """File name without folder and extension.

    >>> file_stem("gs://bucket/night/train_1.v2.jpg"), file_stem("/chips/.hidden")
    ('train_1.v2', '.hidden')
    """
    name = uri.rstrip("/").rpartition("/")[2]
    dot = name.rfind(".")
    return name[:dot] if 0 < dot < len(name) - 1 else name


def _check_unsigned(uri: str) -> None:
    """Addresses are stored in tables and logs, so they must not contain secrets."""
    rest = uri.partition("://")[2]
    if SIGNED.search(rest) or "@" in rest.partition("/")[0]:
        shown = uri[: uri.find("?")] if SIGNED.search(rest) else uri.partition("://")[0] + "://"
        raise UsageError(
            f"an address that holds credentials ({shown!r}...): remove them from the address, "
            "and set them in the environment"
        )


def _below(base: str, path: str) -> str:
    """A relative path below a remote folder. Object stores have no `.` and `..`, so they are
    resolved here; nothing else is normalized: `a//b` and `a/b` are two objects."""
    if not {".", ".."} & set(path.split("/")):
        return f"{base}/{path}"
    scheme, bucket, key = split_uri(base)
    return f"{scheme}://{bucket}/{posixpath.normpath(posixpath.join(key, path))}"


def _file_path(uri: str) -> str:
    host, _, path = uri.removeprefix("file://").partition("/")
    if host not in ("", "localhost"):
        raise UsageError(f"{uri!r} names the machine {host!r}; a local path is file:///PATH")
    return "/" + unquote(path)
