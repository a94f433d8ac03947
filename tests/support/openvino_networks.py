"""Small networks in OpenVINO's format, and artifacts that hold one."""

from dataclasses import replace
from pathlib import Path

from pipelines.artifacts.loading import load_model
from schemas.artifact import ModelArtifact
from schemas.artifact_files import read_description, write_artifact
from train.converting.engines import add_openvino
from train.converting.int8 import Chips


def add_to_artifact(folder: Path, chips: Chips | None = None) -> ModelArtifact:
    """Add networks for OpenVINO to an artifact without a card and a STAC item; one in int8, too, if
    there are chips to make it with."""
    artifact = read_description(folder)
    engines = add_openvino(folder, artifact, load_model(folder, artifact), chips)
    return write_artifact(folder, replace(artifact, engines=engines))
