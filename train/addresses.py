"""Addresses that flags name: local paths and files, with the flag in every error."""

from __future__ import annotations

from pathlib import Path

from pipelines.errors import StorageError, UsageError, as_usage_error
from pipelines.storage.store import absolute_uri, is_remote, read_bytes


def local_path(flag: str, address: str) -> Path:
    """The path that a flag names, which must be local; `file://` addresses are accepted.

    Raises:
        UsageError: it is in an object store, or has another scheme.
    """
    with as_usage_error(flag, (UsageError,)):
        if is_remote(address):
            raise UsageError(f"{address} is remote; give a local folder or file, and copy it")
        return Path(absolute_uri(address))


def read_file(flag: str, uri: str) -> bytes:
    """The bytes of a file that a flag names, local or remote.

    Raises:
        UsageError: its scheme is not supported.
        StorageError: it cannot be read.
    """
    try:
        return read_bytes(uri)
    except (StorageError, UsageError) as error:
        raise type(error)(f"{flag}: {error}") from error
