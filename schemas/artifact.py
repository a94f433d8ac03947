"""The model artifact on disk: what the trainer writes and the scoring job trusts.

A folder with `artifact.json` beside the model's files. `read_artifact` opens nothing that does
not fit together, and says which two values differ. Neither function needs TensorFlow.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from schemas import keras_file
from schemas.decisions import SKY_RULES, SkyRule
from schemas.keras_file import ArtifactError as ArtifactError
from schemas.labels import LabelSet

FORMAT_VERSION = 1
ARTIFACT_FILE = "artifact.json"
MODEL_FILE = "model.keras"

MediaType = Literal["jpg", "tif"]

BANDS: dict[MediaType, tuple[str, ...]] = {
    "jpg": ("red", "green", "blue"),
    "tif": ("blue", "green", "red", "near_infrared"),
}
"""The bands of a chip of each media type, in the order in which they are stored."""

EXTENSIONS: dict[str, MediaType] = {".jpg": "jpg", ".jpeg": "jpg", ".tif": "tif", ".tiff": "tif"}
"""File name extensions of chips, in lower case."""

_BYTES_PER_PIXEL = 8  # 4 bands x uint16, the heaviest chip that is accepted
_HEADER_BYTES = 1 << 20


@dataclass(frozen=True)
class Preprocessing:
    """How a chip's bytes become the model's input, `uint8 [image_size, image_size, bands]`.

    Attributes:
        media_type: the only kind of chip that the model was trained on.
        image_size: side of the model's input in pixels; chips are area-averaged to it.
        bands: names of the bands in the order of the model's input channels.
        scaling: for tif, (low, high) for each band: the radiometric values that become 0 and
            255, linear between and clipped outside; None for jpg, whose values stay.
        accepted_sides_px: shortest and longest side of a chip that is scored.
    """

    media_type: MediaType
    image_size: int
    bands: tuple[str, ...]
    scaling: tuple[tuple[float, float], ...] | None
    accepted_sides_px: tuple[int, int]

    def __post_init__(self) -> None:
        if self.media_type not in BANDS:
            raise ArtifactError(f"media_type must be jpg or tif, not {self.media_type!r}")
        if self.image_size < 1:
            raise ArtifactError(f"image_size must be at least 1, not {self.image_size}")
        unknown = sorted(set(self.bands) - set(BANDS[self.media_type]))
        if unknown or not self.bands:
            known = ", ".join(BANDS[self.media_type])
            raise ArtifactError(f"bands {unknown} are not among a {self.media_type}'s: {known}")
        if len(set(self.bands)) < len(self.bands):
            raise ArtifactError(f"a band is named twice: {', '.join(self.bands)}")
        self._check_scaling()
        shortest, longest = self.accepted_sides_px
        if not 1 <= shortest <= longest:
            raise ArtifactError(f"accepted_sides_px {shortest}..{longest} is no range")

    def _check_scaling(self) -> None:
        if (self.scaling is not None) != (self.media_type == "tif"):
            raise ArtifactError("scaling belongs to tif, and every tif model needs it")
        if self.scaling is None:
            return
        if len(self.scaling) != len(self.bands):
            raise ArtifactError(f"{len(self.scaling)} scalings for {len(self.bands)} bands")
        if not all(math.isfinite(low) and low < high < math.inf for low, high in self.scaling):
            raise ArtifactError(f"each scaling needs low < high, both finite: {self.scaling}")

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape of one chip as the model takes it."""
        return (self.image_size, self.image_size, len(self.bands))

    @property
    def max_bytes(self) -> int:
        """Size over which an object cannot be an acceptable chip and is not even read."""
        return self.accepted_sides_px[1] ** 2 * _BYTES_PER_PIXEL + _HEADER_BYTES

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Preprocessing:
        """Read what `dataclasses.asdict` and JSON made of one."""
        scaling = data["scaling"]
        return cls(
            media_type=data["media_type"],
            image_size=int(data["image_size"]),
            bands=tuple(data["bands"]),
            scaling=None if scaling is None else tuple((float(a), float(b)) for a, b in scaling),
            accepted_sides_px=(
                int(data["accepted_sides_px"][0]),
                int(data["accepted_sides_px"][1]),
            ),
        )


@dataclass(frozen=True)
class ModelArtifact:
    """A trained model as the scoring job needs it, and what is known of it.

    Attributes:
        network: name of the architecture (vgg16, mean_colour ...).
        label_set: labels in the order of the model's outputs.
        thresholds: a label holds where its score is at or over its threshold.
        sky_rule: whether the sky labels follow their thresholds too, or the highest score; see
            `schemas.decisions.choose_labels`. Artifacts from before it was written have thresholds.
        unproven_thresholds: labels without positives in validation, whose threshold is a guess.
        preprocessing: how bytes become the model's input.
        model_digest: see `model_digest`.
        figures: measures by part (validation; test where there is one), by label and over all.
        training: the chips and options that it was trained with.
        versions: package to version, as trained.
        files: file name to sha256, for every file but artifact.json.
    """

    network: str
    label_set: LabelSet
    thresholds: tuple[float, ...]
    preprocessing: Preprocessing
    model_digest: str
    sky_rule: SkyRule = "threshold"
    unproven_thresholds: tuple[str, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.thresholds) != len(self.label_set.names):
            raise ArtifactError(
                f"{len(self.thresholds)} thresholds for {len(self.label_set.names)} labels"
            )
        for name, threshold in zip(self.label_set.names, self.thresholds, strict=True):
            if not 0 <= threshold <= 1:
                raise ArtifactError(f"threshold of {name!r} must lie in [0, 1], not {threshold}")
        if self.sky_rule not in SKY_RULES:
            raise ArtifactError(f"sky_rule must be {' or '.join(SKY_RULES)}, not {self.sky_rule!r}")
        if self.sky_rule == "argmax" and not self.label_set.sky:
            raise ArtifactError("sky_rule argmax needs a label set with sky labels")

    @property
    def thresholds_digest(self) -> str:
        """sha256 of the thresholds by label name, and of the sky rule."""
        thresholds = dict(zip(self.label_set.names, self.thresholds, strict=True))
        return thresholds_digest(thresholds, self.sky_rule)

    def to_dict(self) -> dict[str, Any]:
        """The content of artifact.json."""
        data = asdict(self)
        data["label_set"] = self.label_set.to_dict()
        data["thresholds"] = dict(zip(self.label_set.names, self.thresholds, strict=True))
        data["thresholds_digest"] = self.thresholds_digest
        return {"format_version": FORMAT_VERSION, **data}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ModelArtifact:
        """Read what `to_dict` and JSON made of one.

        Raises:
            ArtifactError: another format version, a key missing, or values that do not fit.
        """
        version = data.get("format_version")
        if version != FORMAT_VERSION:
            raise ArtifactError(f"format_version is {version!r}, this code reads {FORMAT_VERSION}")
        try:
            label_set = LabelSet.from_dict(data["label_set"])
            thresholds = _in_label_order(data["thresholds"], label_set)
            artifact = cls(
                network=data["network"],
                label_set=label_set,
                thresholds=thresholds,
                preprocessing=Preprocessing.from_dict(data["preprocessing"]),
                model_digest=data["model_digest"],
                sky_rule=data.get("sky_rule", "threshold"),
                unproven_thresholds=tuple(data["unproven_thresholds"]),
                figures=dict(data["figures"]),
                training=dict(data["training"]),
                versions=dict(data["versions"]),
                files=dict(data["files"]),
            )
        except KeyError as error:
            raise ArtifactError(f"the key {error} is missing") from error
        except (TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            raise ArtifactError(str(error)) from error
        _check_equal("thresholds_digest", data.get("thresholds_digest"), artifact.thresholds_digest)
        return artifact


def thresholds_digest(thresholds: Mapping[str, float], sky_rule: SkyRule = "threshold") -> str:
    """sha256 of what turns scores into labels: thresholds by label name, whatever their order,
    and the sky rule. Under `threshold` it is that of the thresholds alone, as it always was."""
    ordered: dict[str, Any] = {name: float(thresholds[name]) for name in sorted(thresholds)}
    decisive = ordered if sky_rule == "threshold" else {"sky_rule": sky_rule, "by_label": ordered}
    return hashlib.sha256(_canonical_json(decisive)).hexdigest()


def model_digest(model_file: Path, label_set: LabelSet, preprocessing: Preprocessing) -> str:
    """sha256 of what decides a score: weights, architecture, label order, preprocessing.

    A `.keras` file is a zip that carries times, so its bytes differ at each save of the same
    model; this digest reads the parts that matter.

    Raises:
        ArtifactError: the file is no Keras 3 model.
    """
    digest = hashlib.sha256()
    digest.update(_canonical_json(label_set.to_dict()))
    # As it will be read again: 2000 and 2000.0 are one value in two spellings.
    digest.update(_canonical_json(asdict(Preprocessing.from_dict(asdict(preprocessing)))))
    digest.update(_canonical_json(keras_file.read_architecture(model_file)))
    for name, array in keras_file.read_weights(model_file):
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def write_artifact(folder: Path, artifact: ModelArtifact) -> ModelArtifact:
    """Write artifact.json beside the model's files, with the sha256 of each of them.

    Returns:
        The artifact with its `files` filled in.
    """
    names = sorted(p.name for p in folder.iterdir() if p.is_file() and p.name != ARTIFACT_FILE)
    data = artifact.to_dict()
    data["files"] = {name: _file_sha256(folder / name) for name in names}
    text = json.dumps(data, indent=2, sort_keys=False, allow_nan=False)
    (folder / ARTIFACT_FILE).write_text(text + "\n", encoding="utf-8")
    return ModelArtifact.from_dict(data)


def read_artifact(folder: Path) -> ModelArtifact:
    """Open an artifact and check that all of it fits together.

    Raises:
        ArtifactError: a file is missing or differs from its sha256; labels, thresholds,
            preprocessing and model do not fit; the digest differs; the model holds code.
    """
    artifact = read_description(folder)
    try:
        _check_files(folder, artifact)
        _check_model(folder / MODEL_FILE, artifact)
    except ArtifactError as error:
        raise ArtifactError(f"{folder}: {error}") from error
    return artifact


def read_description(folder: Path) -> ModelArtifact:
    """Read artifact.json alone, without a look at the model's files.

    Raises:
        ArtifactError: there is none, or its values do not fit together.
    """
    path = folder / ARTIFACT_FILE
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ArtifactError(f"{path} is missing: is this a model artifact?") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(data, dict):
        raise ArtifactError(f"{path} must hold an object")
    try:
        return ModelArtifact.from_dict(data)
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}") from error


def _in_label_order(thresholds: Mapping[str, Any], label_set: LabelSet) -> tuple[float, ...]:
    without_label = sorted(set(thresholds) - set(label_set.names))
    without_threshold = sorted(set(label_set.names) - set(thresholds))
    if without_label or without_threshold:
        raise ArtifactError(
            "thresholds do not fit the labels: "
            f"thresholds without a label {without_label}, labels without one {without_threshold}"
        )
    return tuple(float(thresholds[name]) for name in label_set.names)


def _check_files(folder: Path, artifact: ModelArtifact) -> None:
    if MODEL_FILE not in artifact.files:
        raise ArtifactError(f"{ARTIFACT_FILE} lists no {MODEL_FILE}")
    for name, expected in artifact.files.items():
        if Path(name).name != name or name in ("", ".."):
            raise ArtifactError(f"file name {name!r} leads out of the artifact")
        if not (folder / name).is_file():
            raise ArtifactError(f"the file {name} is missing")
        _check_equal(f"sha256 of {name}", expected, _file_sha256(folder / name))


def _check_model(model_file: Path, artifact: ModelArtifact) -> None:
    architecture = keras_file.read_architecture(model_file)
    keras_file.refuse_code(architecture)
    shapes, units = keras_file.ends_of(architecture)
    expected = list(artifact.preprocessing.input_shape)
    if shapes != [expected]:
        raise ArtifactError(f"the model takes {shapes}, preprocessing makes {expected}")
    if units is not None and units != len(artifact.label_set.names):
        raise ArtifactError(
            f"the model has {units} outputs for {len(artifact.label_set.names)} labels"
        )
    found = model_digest(model_file, artifact.label_set, artifact.preprocessing)
    _check_equal("model_digest", artifact.model_digest, found)


def _check_equal(what: str, expected: object, found: object) -> None:
    if expected != found:
        raise ArtifactError(f"{what} differs: recorded {expected}, found {found}")


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _canonical_json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
