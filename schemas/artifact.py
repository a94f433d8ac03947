"""What an artifact says about its model: labels, thresholds, preprocessing, figures.

It is stored as `artifact.json` next to the model's files (`schemas.artifact_files`).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from schemas.decisions import SKY_RULES, SkyRule, Threshold
from schemas.labels import LabelSet
from schemas.networks.keras_file import ArtifactError as ArtifactError

FORMAT_VERSION = 1

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
_MOST_IMAGE_SIZE = 8192


@dataclass(frozen=True)
class Preprocessing:
    """How a chip's bytes become the model's input, `uint8 [image_size, image_size, bands]`.

    Attributes:
        media_type: the kind of chip that the model was trained on, and the only one it scores.
        image_size: side of the model's input in pixels; chips are area-averaged to it.
        bands: names of the bands in the order of the model's input channels.
        scaling: for tif, (low, high) of each band: the radiometric values that become 0 and 255,
            linear between them and clipped outside; None for jpg, whose values are kept.
        accepted_sides_px: shortest and longest side of a chip that can be scored.
    """

    media_type: MediaType
    image_size: int
    bands: tuple[str, ...]
    scaling: tuple[tuple[float, float], ...] | None
    accepted_sides_px: tuple[int, int]

    def __post_init__(self) -> None:
        if self.media_type not in BANDS:
            raise ArtifactError(f"media_type must be jpg or tif, not {self.media_type!r}")
        if not 1 <= self.image_size <= _MOST_IMAGE_SIZE:
            raise ArtifactError(
                f"image_size must be 1 to {_MOST_IMAGE_SIZE}, not {self.image_size}"
            )
        unknown = sorted(set(self.bands) - set(BANDS[self.media_type]))
        if unknown or not self.bands:
            known = ", ".join(BANDS[self.media_type])
            raise ArtifactError(f"bands {unknown} are not among a {self.media_type}'s: {known}")
        if len(set(self.bands)) < len(self.bands):
            raise ArtifactError(f"a band is named twice: {', '.join(self.bands)}")
        self._check_scaling()
        shortest, longest = self.accepted_sides_px
        if not 1 <= shortest <= longest:
            raise ArtifactError(f"accepted_sides_px {shortest}..{longest} is not a range")

    def _check_scaling(self) -> None:
        if (self.scaling is not None) != (self.media_type == "tif"):
            raise ArtifactError("a tif model needs scaling, and a jpg model has none")
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
        """Largest size of an acceptable chip; larger objects are not read."""
        return self.accepted_sides_px[1] ** 2 * _BYTES_PER_PIXEL + _HEADER_BYTES

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Preprocessing:
        """Rebuild one from its `dataclasses.asdict`, read from JSON."""
        scaling, sides = data["scaling"], data["accepted_sides_px"]
        return cls(
            media_type=data["media_type"],
            image_size=int(data["image_size"]),
            bands=tuple(data["bands"]),
            scaling=None if scaling is None else tuple((float(a), float(b)) for a, b in scaling),
            accepted_sides_px=(int(sides[0]), int(sides[1])),
        )


@dataclass(frozen=True)
class ModelArtifact:
    """A trained model as the scoring job needs it, and facts about it.

    Attributes:
        network: name of the architecture (vgg16, mean_colour ...).
        label_set: labels in the order of the model's outputs.
        thresholds: a chip has a label if its score is at or above the threshold; None: never.
        sky_rule: whether sky labels are chosen by threshold too, or by the highest score; see
            `schemas.decisions.choose_labels`. Artifacts without this field use thresholds.
        unproven_thresholds: labels without a positive chip in validation, so that the
            threshold is a guess.
        promises: by label, the precision that its threshold promises on new chips, as
            `train.judging.promise.describe_promises` returns it. The threshold is None if it cannot
            be promised.
        preprocessing: how bytes become the model's input.
        model_digest: see `schemas.artifact_files.model_digest`.
        figures: measures by part (validation, and test if there is one), by label and overall.
        training: chips and options of the training.
        versions: package to version, at training.
        engines: what is known about the same network for other engines than Keras, by engine; empty
            if the artifact has none. For `openvino`: `model_digest`, of the network it was
            converted from; `versions`; and, if there is an int8 network, `int8`: how it differs
            from float32 on validation chips (`train.converting.int8.compare`).
        files: file name to sha256, for every file but artifact.json.
    """

    network: str
    label_set: LabelSet
    thresholds: tuple[Threshold, ...]
    preprocessing: Preprocessing
    model_digest: str
    sky_rule: SkyRule = "threshold"
    unproven_thresholds: tuple[str, ...] = ()
    promises: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    engines: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.thresholds) != len(self.label_set.names):
            raise ArtifactError(
                f"{len(self.thresholds)} thresholds for {len(self.label_set.names)} labels"
            )
        for name, threshold in zip(self.label_set.names, self.thresholds, strict=True):
            if threshold is not None and not 0 <= threshold <= 1:
                raise ArtifactError(
                    f"threshold of {name!r} must be in [0, 1], or null, not {threshold}"
                )
        if self.sky_rule not in SKY_RULES:
            raise ArtifactError(f"sky_rule must be {' or '.join(SKY_RULES)}, not {self.sky_rule!r}")
        if self.sky_rule == "argmax" and not self.label_set.sky:
            raise ArtifactError("sky_rule argmax needs a label set with sky labels")
        if self.sky_rule == "argmax" and (
            skies := set(self.never).intersection(self.label_set.sky)
        ):
            raise ArtifactError(
                f"threshold of {min(skies)!r} is null, which means never; but sky_rule argmax "
                "chooses sky labels whatever their thresholds"
            )
        if unknown := sorted(set(self.promises) - set(self.label_set.names)):
            raise ArtifactError(f"promises for labels that are not there: {', '.join(unknown)}")

    @property
    def by_label(self) -> dict[str, Threshold]:
        """Label to threshold."""
        return dict(zip(self.label_set.names, self.thresholds, strict=True))

    @property
    def never(self) -> tuple[str, ...]:
        """The labels that no chip is given, because their threshold is None."""
        return tuple(name for name, threshold in self.by_label.items() if threshold is None)

    @property
    def thresholds_digest(self) -> str:
        """sha256 of the thresholds by label name, and of the sky rule."""
        return thresholds_digest(self.by_label, self.sky_rule)

    @property
    def description_digest(self) -> str:
        """sha256 of the content of artifact.json, and so of every file of the artifact."""
        return hashlib.sha256(canonical_json(self.to_dict())).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """The content of artifact.json."""
        data = asdict(self)
        data["label_set"] = self.label_set.to_dict()
        data["thresholds"] = self.by_label
        data["thresholds_digest"] = self.thresholds_digest
        if not self.promises:
            del data["promises"]  # as in artifacts of earlier releases
        return {"format_version": FORMAT_VERSION, **data}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ModelArtifact:
        """Rebuild one from its `to_dict`, read from JSON.

        Raises:
            ArtifactError: another format version, a missing key, or values that do not fit.
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
                promises=dict(data.get("promises", {})),
                figures=dict(data["figures"]),
                training=dict(data["training"]),
                versions=dict(data["versions"]),
                engines=_engines(data.get("engines", {}), data["model_digest"]),
                files=dict(data["files"]),
            )
        except KeyError as error:
            raise ArtifactError(f"the key {error} is missing") from error
        except (TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            raise ArtifactError(str(error)) from error
        check_equal("thresholds_digest", data.get("thresholds_digest"), artifact.thresholds_digest)
        return artifact


def thresholds_digest(thresholds: Mapping[str, Threshold], sky_rule: SkyRule = "threshold") -> str:
    """sha256 of what turns scores into labels: thresholds by label name, in any order, and the
    sky rule. With the rule `threshold` it covers the thresholds alone, as in older artifacts."""
    ordered: dict[str, Any] = {name: _plain(thresholds[name]) for name in sorted(thresholds)}
    decisive = ordered if sky_rule == "threshold" else {"sky_rule": sky_rule, "by_label": ordered}
    return hashlib.sha256(canonical_json(decisive)).hexdigest()


def _engines(data: Mapping[str, Any], model_digest: str) -> dict[str, Any]:
    for engine, known in data.items():
        check_equal(f"model_digest of the {engine} network", model_digest, known["model_digest"])
    return dict(data)


def _plain(threshold: Any) -> Threshold:
    return None if threshold is None else float(threshold)


def _in_label_order(thresholds: Mapping[str, Any], label_set: LabelSet) -> tuple[Threshold, ...]:
    without_label = sorted(set(thresholds) - set(label_set.names))
    without_threshold = sorted(set(label_set.names) - set(thresholds))
    if without_label or without_threshold:
        raise ArtifactError(
            "thresholds do not fit the labels: "
            f"thresholds without a label {without_label}, labels without one {without_threshold}"
        )
    return tuple(_plain(thresholds[name]) for name in label_set.names)


def check_equal(what: str, expected: object, found: object) -> None:
    """Compare a recorded value with the one that was found.

    Raises:
        ArtifactError: they differ.
    """
    if expected != found:
        raise ArtifactError(f"{what} differs: recorded {expected}, found {found}")


def canonical_json(value: object) -> bytes:
    """JSON without spaces and with sorted keys, for digests."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
