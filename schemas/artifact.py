"""What an artifact says about its model: labels, thresholds, preprocessing, figures.

It is stored as `artifact.json` next to the model's files (`schemas.artifact_files`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from schemas.decisions import SKY_RULES, SkyRule, Threshold
from schemas.labels import LabelSet
from schemas.networks.keras_file import ArtifactError as ArtifactError
from schemas.networks.preprocessing import BANDS as BANDS
from schemas.networks.preprocessing import EXTENSIONS as EXTENSIONS
from schemas.networks.preprocessing import MEDIA_TYPES as MEDIA_TYPES
from schemas.networks.preprocessing import MediaType as MediaType
from schemas.networks.preprocessing import Preprocessing as Preprocessing
from schemas.networks.preprocessing import SampleType as SampleType

FORMAT_VERSION = 1

_NEW = ("promises", "set_by_hand")  # left out if empty, as in artifacts of earlier releases


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
        set_by_hand: labels whose threshold was not chosen by the trainer.
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
    set_by_hand: tuple[str, ...] = ()
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
        for what in _NEW:
            if unknown := sorted(set(getattr(self, what)) - set(self.label_set.names)):
                raise ArtifactError(f"{what} has labels that are not there: {', '.join(unknown)}")
        for label, promise in self.promises.items():
            if not 0 < promise["precision"] < 1:
                raise ArtifactError(f"the promise of {label!r} must be over 0 and under 1")
            has_threshold = self.by_label[label] is not None
            counts_fit = 0 <= promise["correct"] <= promise["chosen"]
            if promise["kept"] is not has_threshold or not counts_fit:
                raise ArtifactError(
                    f"the promise of {label!r} does not fit its threshold: {promise}"
                )

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
        data["preprocessing"] = self.preprocessing.to_dict()
        data["thresholds"] = self.by_label
        data["thresholds_digest"] = self.thresholds_digest
        for name in _NEW:
            if not data[name]:
                del data[name]
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
                set_by_hand=tuple(data.get("set_by_hand", ())),
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
    return None if threshold is None else float(threshold) + 0.0  # -0.0 is 0.0


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
