"""Thresholds from a file: JSON of label: number or null, or a model's artifact.json."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from pipelines.artifacts.signing import check_signature
from pipelines.errors import StorageError, as_usage_error
from pipelines.storage import store
from schemas.artifact import ArtifactError, ModelArtifact, thresholds_digest
from schemas.decisions import SkyRule, Threshold
from schemas.labels import LabelSet
from schemas.trust import trust_rows


@dataclass(frozen=True)
class Thresholds:
    """What turns scores into labels.

    Attributes:
        label_set: the labels, some or all of the tables', in their order; its sky labels are known
            only from an artifact, and do not matter with the rule `threshold`.
        values: a threshold in [0, 1] for each label; None: never.
        sky_rule: how sky labels are chosen; by threshold, unless an artifact says otherwise.
        model_digest: the artifact's model; "" for a plain file.
        trust: what the artifact says about its labels, see `schemas.trust`; empty for a plain file.
    """

    label_set: LabelSet
    values: tuple[Threshold, ...]
    sky_rule: SkyRule = "threshold"
    model_digest: str = ""
    trust: Sequence[Mapping[str, Any]] = ()

    @property
    def by_label(self) -> dict[str, Threshold]:
        """Label to threshold."""
        return dict(zip(self.label_set.names, self.values, strict=True))

    @property
    def digest(self) -> str:
        """The digest as in rows and artifacts."""
        return thresholds_digest(self.by_label, self.sky_rule)


def read_thresholds(
    uri: str, labels: tuple[str, ...], trusted_key: str | None = None, whose: str = "tables do"
) -> Thresholds:
    """Read thresholds for some or all labels of the tables, or of an artifact. Which of these a
    model has is known later: see `require_labels`.

    Args:
        uri: absolute address of the file.
        labels: the known ones, in their order.
        trusted_key: address of the public key that the file must be signed with, which is then an
            artifact.json; None if it need not be.
        whose: what has the labels, with a verb, for messages.

    Raises:
        UsageError: the file is missing, not signed as asked or not JSON, it names no label or one
            twice, a threshold has no label, or is neither a number in [0, 1] nor null.
    """
    with as_usage_error(
        f"--thresholds {uri!r}", (StorageError, ArtifactError, ValueError, RecursionError)
    ):
        data = store.read_bytes(uri)
        if trusted_key:
            check_signature(store.parent_uri(uri), data, trusted_key)
        return _thresholds(_read_object(data), labels, whose)


def require_labels(uri: str, thresholds: Thresholds, labels: Collection[str]) -> None:
    """Refuse thresholds without one for each of a model's labels.

    Args:
        uri: absolute address of their file.

    Raises:
        UsageError: names the labels without a threshold.
    """
    with as_usage_error(f"--thresholds {uri!r}", (ValueError,)):
        _check_labels(thresholds.by_label, thresholds.by_label, labels, "tables do")


def _thresholds(data: Mapping[str, Any], labels: tuple[str, ...], whose: str) -> Thresholds:
    if "format_version" not in data:
        _check_labels(data, labels, (), whose)
        if not data:
            raise ValueError("it names no label")
        given = {label: _number(label, data[label]) for label in labels if label in data}
        return Thresholds(LabelSet(tuple(given)), tuple(given.values()))
    artifact = ModelArtifact.from_dict(data)
    _check_labels(artifact.by_label, labels, (), whose)
    names = tuple(label for label in labels if label in artifact.by_label)
    values = tuple(artifact.by_label[label] for label in names)
    label_set = LabelSet(names, artifact.label_set.sky)
    trust = trust_rows(artifact)
    return Thresholds(label_set, values, artifact.sky_rule, artifact.model_digest, trust)


def _read_object(text: bytes) -> dict[str, Any]:
    data = json.loads(text, object_pairs_hook=_each_once, parse_constant=_refuse_constant)
    if not isinstance(data, dict):
        raise ValueError("it must be a JSON object, label: number or null")
    return data


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(
            f"named twice: {', '.join(sorted({n for n in names if names.count(n) > 1}))}"
        )
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in [0, 1]")


def _check_labels(
    given: Collection[str], possible: Collection[str], needed: Collection[str], whose: str
) -> None:
    unknown, missing = sorted(set(given) - set(possible)), sorted(set(needed) - set(given))
    if unknown or missing:
        parts = {f"labels that the {whose} not have": unknown, "labels without one": missing}
        problems = [f"{what}: {', '.join(names)}" for what, names in parts.items() if names]
        raise ValueError(f"thresholds do not fit the {whose.split()[0]} ({'; '.join(problems)})")


def _number(label: str, value: Any) -> Threshold:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(
            f"the threshold of {label!r} must be a number in [0, 1], or null, not {value!r}"
        )
    return float(value)
