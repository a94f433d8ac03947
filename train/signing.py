"""Sign a model artifact, so that `--trusted_key` accepts it."""

import hashlib
from dataclasses import dataclass

from pipelines.artifacts.opening import open_artifact
from pipelines.artifacts.signing import make_signature
from pipelines.commands import CommandLine
from pipelines.errors import StorageError, UsageError, as_usage_error
from pipelines.flags import flag
from pipelines.storage.store import absolute_uri, join_uri, write_bytes
from pipelines.storage.store_flags import StoreOptions
from schemas.artifact import ArtifactError
from schemas.artifact_files import ARTIFACT_FILE, SIGNATURE_FILE


@dataclass(frozen=True, kw_only=True)
class SignOptions(StoreOptions):
    """The options of `python -m train sign`."""

    artifact: str = flag("The folder of the artifact: local, gs:// or s3://.", metavar="URI")
    key: str = flag(
        "A private elliptic-curve key in PEM, without a passphrase (openssl ecparam -name "
        "prime256v1 -genkey -noout makes one, openssl ec -pubout its public key).",
        metavar="FILE",
    )


LINE = CommandLine("train sign", SignOptions, "Sign a model artifact, for --trusted_key.")


def sign_artifact(options: SignOptions) -> None:
    """Check an artifact, sign it, and write the signature next to its files.

    Raises:
        UsageError: the artifact or the key cannot be used.
        StorageError: the signature cannot be written.
    """
    with as_usage_error("--artifact", (UsageError, ArtifactError, StorageError)):
        address = absolute_uri(options.artifact)
        folder, artifact = open_artifact(address, wanted=lambda artifact: [*artifact.files])
        description = (folder / ARTIFACT_FILE).read_bytes()
    target = join_uri(address, SIGNATURE_FILE)
    write_bytes(target, make_signature(description, options.key))
    print(f"Signed: model_digest {artifact.model_digest}")
    print(f"        sha256 of {ARTIFACT_FILE} {hashlib.sha256(description).hexdigest()}")
    print(f"Signature: {target}", flush=True)
