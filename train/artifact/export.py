"""Writes a model artifact: to a temporary folder next to it first, then moved in one step."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.errors import UsageError
from schemas.artifact import ArtifactError, ModelArtifact, Preprocessing
from schemas.artifact_files import (
    ARTIFACT_FILE,
    MODEL_FILE,
    SIGNATURE_FILE,
    model_digest,
    read_artifact,
    read_description,
    write_artifact,
)
from schemas.labels import LabelSet
from train.addresses import local_path
from train.artifact.file_names import (
    CARD_FILE,
    CURVES_FILE,
    HISTORY_FILE,
    ITEM_FILE,
    LEGACY_MODEL_FILE,
    RELIABILITY_FILE,
    SPLIT_FILE,
)
from train.artifact.mlm_item import describe_model
from train.artifact.model_card import render_model_card
from train.fitting.fit import Fit
from train.fitting.history import MEASURES, history_csv
from train.judging.calibration import draw_reliability
from train.pictures import Panel, draw_lines

Convert = Callable[[Path, ModelArtifact, Any], Mapping[str, Any]]
"""Adds networks to an artifact's folder, and returns the artifact's `engines`."""

_CURVES = {"loss": "loss", "f1": "F1 at 0.5", "map": "mAP"}
_PACKAGES = ("tensorflow", "keras", "numpy", "h5py", "scikit-learn", "simplejpeg", "rasterio")


def resolve_target(artifact: str, flag: str = "--artifact") -> Path:
    """The local folder for an artifact.

    Args:
        flag: the flag that names the folder, for messages.

    Raises:
        UsageError: it is remote, cannot be written, or holds other files than an artifact's,
            which writing would destroy.
    """
    folder = local_path(flag, artifact).resolve()
    above = next(parent for parent in folder.parents if parent.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise UsageError(f"{flag} {artifact}: {above} is not writable")
    check_replaceable(folder, flag)
    return folder


def copy_artifact(source: Path, target: Path) -> None:
    """Copy an artifact to a folder, all or nothing; replaces an older one there."""
    with replace_artifact(target) as temporary:
        shutil.copytree(source, temporary, dirs_exist_ok=True)


def check_replaceable(folder: Path, flag: str) -> None:
    """Refuse to replace anything but an artifact.

    Args:
        flag: the flag that names the folder, for messages.

    Raises:
        UsageError: there is a file, or a folder with other files than an artifact's.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"{flag} {folder} is a file; give a folder")
    present = {path.name for path in folder.iterdir()}
    if not present:
        return
    if ARTIFACT_FILE not in present:
        raise UsageError(f"{flag} {folder} holds other files; give an empty or a new folder")
    try:
        known = {*read_description(folder).files, ARTIFACT_FILE, SIGNATURE_FILE}
    except ArtifactError as error:
        raise UsageError(f"{flag}: {error}; remove it, or give a new folder") from error
    if foreign := sorted(present - known):
        raise UsageError(
            f"{flag} {folder} would be replaced, and {foreign[0]!r} in it is not part of an "
            "artifact; move it away, or give a new folder"
        )


def write_model(
    folder: Path,
    fit: Fit,
    preprocessing: Preprocessing,
    label_set: LabelSet,
    description: Mapping[str, Any],
    split: str,
    convert: Convert | None = None,
) -> ModelArtifact:
    """Write the model, its history, split, pictures and descriptions; replace an older artifact.

    They are written to a temporary folder next to it, read back and checked, and only then moved:
    a reader finds the old artifact or the new one.

    Args:
        description: the remaining fields of `ModelArtifact`: network, thresholds, sky_rule,
            unproven_thresholds, figures, training.
        split: which chip was in which part, as csv.
        convert: adds networks for other engines.

    Raises:
        ArtifactError: the written files are not consistent.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with replace_artifact(folder) as temporary:
        save_model(temporary, fit.model)
        draw_curves(temporary / CURVES_FILE, fit)
        draw_reliability(temporary / RELIABILITY_FILE, description["figures"])
        (temporary / HISTORY_FILE).write_text(history_csv(fit.history))
        (temporary / SPLIT_FILE).write_text(split, encoding="utf-8")
        artifact = ModelArtifact(
            label_set=label_set,
            preprocessing=preprocessing,
            model_digest=model_digest(temporary / MODEL_FILE, label_set, preprocessing),
            versions=package_versions(),
            **description,
        )
        engines = convert(temporary, artifact, fit.model) if convert else {}
        return write_descriptions(temporary, replace(artifact, engines=engines))


def write_descriptions(folder: Path, artifact: ModelArtifact) -> ModelArtifact:
    """Write the files that describe a model: artifact.json, and if it says how the model was
    trained, the card and the STAC item; returns the artifact, read back.

    Raises:
        ArtifactError: the written files are not consistent.
    """
    (folder / ITEM_FILE).unlink(missing_ok=True)  # it must not have the checksum of an older one
    if artifact.training:
        (folder / CARD_FILE).write_text(render_model_card(artifact), encoding="utf-8")
        item = describe_model(folder, write_artifact(folder, artifact))
        text = json.dumps(item, indent=2, allow_nan=False)
        (folder / ITEM_FILE).write_text(text + "\n", encoding="utf-8")
    write_artifact(folder, artifact)
    return read_artifact(folder)


def save_model(folder: Path, model: Any) -> None:
    """Save a model in Keras' own format and in the older HDF5 one."""
    model.save(folder / MODEL_FILE)
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it warns that HDF5 is an old format; that is the purpose
    try:
        model.save(folder / LEGACY_MODEL_FILE)
    finally:
        logger.setLevel(level)


def draw_curves(path: Path, fit: Fit) -> None:
    """Draw the measures of both parts, and validation's mAP, the chosen epoch marked."""
    epochs = range(1, len(fit.history["loss"]) + 1)
    parts = {"training": "", "validation": "val_"}
    panels = [
        Panel(
            title=_CURVES.get(measure, f"{measure} at 0.5"),
            x_name="epoch",
            lines={
                part: (epochs, fit.history[prefix + measure])
                for part, prefix in parts.items()
                if prefix + measure in fit.history
            },
            marks={"chosen epoch": fit.best_epoch},
        )
        for measure in (*MEASURES, "map")
    ]
    draw_lines(path, panels)


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide a model's scores."""
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), **versions}


@contextmanager
def replace_artifact(folder: Path) -> Iterator[Path]:
    """A temporary folder that takes the place of an artifact at the end of the block, unless that
    fails: a reader finds the old artifact or the new one."""
    with _temporary_folder(folder) as temporary:
        yield temporary
        _move(temporary, folder)


@contextmanager
def _temporary_folder(folder: Path) -> Iterator[Path]:
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.writing-", dir=folder.parent))
    temporary.chmod(0o755)  # a temporary folder is private to its owner, an artifact is not
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _move(temporary: Path, folder: Path) -> None:
    with _temporary_folder(folder) as aside:
        if folder.exists():
            folder.rename(aside / folder.name)
        try:
            temporary.rename(folder)
        except OSError:
            if (aside / folder.name).exists():
                (aside / folder.name).rename(folder)
            raise
