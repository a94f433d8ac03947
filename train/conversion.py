"""The conversion, top to bottom: an artifact in, the same with networks for OpenVINO out."""

import shutil
from dataclasses import dataclass, replace

from pipelines.artifacts.loading import load_model
from pipelines.artifacts.opening import open_artifact
from pipelines.commands import CommandLine
from pipelines.errors import RunFailed, UsageError, as_usage_error
from pipelines.flags import flag
from pipelines.storage.store_flags import StoreOptions
from schemas.artifact import ArtifactError, ModelArtifact
from schemas.artifact_files import OPENVINO_FILES
from train.artifact.export import replace_artifact, resolve_target, write_descriptions
from train.converting.engines import add_openvino


@dataclass(frozen=True, kw_only=True)
class ConvertOptions(StoreOptions):
    """The options of `python -m train convert`."""

    artifact: str = flag("The local folder of the artifact, which is replaced.", metavar="FOLDER")


LINE = CommandLine(
    "train convert",
    ConvertOptions,
    "Add the network for OpenVINO, the fastest engine on a CPU, to a model artifact.",
)


def convert_artifact(options: ConvertOptions) -> ModelArtifact:
    """Add to an artifact what OpenVINO needs, and return the new artifact. Its model stays the same
    and so does its model_digest.

    Raises:
        UsageError: the artifact cannot be used.
        RunFailed: OpenVINO cannot compute its network.
    """
    folder = resolve_target(options.artifact)
    with as_usage_error("--artifact", (UsageError, ArtifactError)):
        _, artifact = open_artifact(str(folder))
    model = load_model(folder, artifact)
    with replace_artifact(folder) as new:
        shutil.copytree(folder, new, dirs_exist_ok=True)
        for name in sum(OPENVINO_FILES.values(), ()):
            (new / name).unlink(missing_ok=True)
        engines = add_openvino(new, artifact, model, "float32")
        if not engines:
            raise RunFailed(f"{folder} is as before: its network cannot be converted")
        written = write_descriptions(new, replace(artifact, engines=engines))
    print(f"Artifact: {folder}", flush=True)
    return written
