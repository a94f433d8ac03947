"""Small networks in OpenVINO's format, and artifacts that hold one."""

from dataclasses import replace
from pathlib import Path

from pipelines.artifacts.loading import load_model
from schemas.artifact import ModelArtifact
from schemas.artifact_files import read_description, write_artifact
from train.converting.engines import add_openvino


def add_to_artifact(folder: Path) -> ModelArtifact:
    """Add the network for OpenVINO to an artifact without a card and a STAC item."""
    artifact = read_description(folder)
    engines = add_openvino(folder, artifact, load_model(folder, artifact), "float32")
    return write_artifact(folder, replace(artifact, engines=engines))
