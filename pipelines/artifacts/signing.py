"""The signature of an artifact, by which a command opens only what its owner has signed.

It is in the format of OpenSSF Model Signing (https://github.com/sigstore/model-transparency) with
an elliptic-curve key, and covers artifact.json, which has the sha256 of every other file.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from pipelines.errors import StorageError, UsageError
from pipelines.flags import flag
from pipelines.storage import store
from schemas.artifact import ArtifactError
from schemas.artifact_files import ARTIFACT_FILE, SIGNATURE_FILE

MOST_KEY_BYTES = 1 << 16
MOST_SIGNATURE_BYTES = 1 << 20
"""Sizes beyond which a key or a signature is not read."""

TRUSTED_KEY = partial(
    flag,
    "A public key (PEM): refuse an artifact that was not signed with its private key by train "
    "sign.",
    metavar="FILE",
)
"""The flag `--trusted_key`."""


def check_signature(uri: str, description: bytes, trusted_key: str) -> None:
    """Refuse an artifact that was not signed with a key.

    Args:
        uri: address of the artifact, which has the signature.
        description: the bytes of its artifact.json.
        trusted_key: address of the public key.

    Raises:
        ArtifactError: it is not signed, with another key, or was changed since.
        UsageError: the key cannot be used.
        StorageError: the signature cannot be read.
    """
    address = store.join_uri(uri, SIGNATURE_FILE)
    if store.head_object(address) is None:
        raise ArtifactError(f"{uri} is not signed, and --trusted_key asks for it: see train sign")
    signature = store.read_bytes(address, MOST_SIGNATURE_BYTES)
    with _signed_folder(description) as folder, _key_file("--trusted_key", trusted_key) as key:
        checker = _import_signing("verifying").Config()
        with _as_key_error("--trusted_key", trusted_key, "public"):
            checker.use_elliptic_key_verifier(public_key=key)
        file = folder.with_name(SIGNATURE_FILE)
        file.write_bytes(signature)
        try:
            checker.verify(folder, file)
        except Exception as error:  # the library has no common class for what it refuses
            raise ArtifactError(
                f"{uri} is not signed with {trusted_key}, or its {ARTIFACT_FILE} was changed since"
            ) from error


def make_signature(description: bytes, private_key: str) -> bytes:
    """The signature of an artifact.

    Args:
        description: the bytes of its artifact.json.
        private_key: address of an elliptic-curve key in PEM, without a passphrase.

    Raises:
        UsageError: the key cannot be used.
    """
    with _signed_folder(description) as folder, _key_file("--key", private_key) as key:
        signer = _import_signing("signing").Config()
        with _as_key_error("--key", private_key, "private"):
            signer.use_elliptic_key_signer(private_key=key)
        file = folder.with_name(SIGNATURE_FILE)
        signer.sign(folder, file)
        return file.read_bytes()


@contextmanager
def _signed_folder(description: bytes) -> Iterator[Path]:
    """A folder with all that is signed, and nothing else."""
    with tempfile.TemporaryDirectory(prefix="forest-chips-signed-") as temporary:
        folder = Path(temporary, "artifact")
        folder.mkdir()
        (folder / ARTIFACT_FILE).write_bytes(description)
        yield folder


@contextmanager
def _key_file(flag_name: str, uri: str) -> Iterator[Path]:
    """A local copy of a key, for this process alone.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        key = store.read_bytes(store.absolute_uri(uri), MOST_KEY_BYTES)
    except (StorageError, UsageError) as error:
        raise UsageError(f"{flag_name}: {error}") from error
    with tempfile.NamedTemporaryFile(prefix="forest-chips-key-") as file:
        file.write(key)
        file.flush()
        yield Path(file.name)


@contextmanager
def _as_key_error(flag_name: str, uri: str, kind: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the parsers of keys have no common class either
        raise UsageError(
            f"{flag_name} {uri}: it is not a {kind} elliptic-curve key in PEM without a passphrase "
            "(openssl ecparam -name prime256v1 -genkey makes one)"
        ) from error


def _import_signing(module: str) -> Any:
    """A module of the package `model_signing`.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return import_module(f"model_signing.{module}")
    except ModuleNotFoundError as error:
        raise UsageError(
            "signatures need the package model-signing: pip install 'forest-chips[sign]'"
        ) from error
