"""Dividing chips into training, validation and test parts."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pipelines.errors import UsageError
from schemas.labels import LabelSet
from train.data._stratify import stratify
from train.data.dataset import LabelledChips
from train.data.examples import truth_of
from train.data.label_files import PARTS, Part, named_twice, read_scenes, read_split, refuse

STUDY = "study"
"""The value of `--split` for the published study's shares."""

VALIDATION_SHARE = 0.2
"""Share of the chips that are for validation by default."""

STUDY_NETWORKS: Mapping[Part, int] = {"train": 20_000, "validation": 7_000, "test": 5_120}
STUDY_FOREST: Mapping[Part, int] = {"train": 15_000, "test": 5_000}
"""Chips of the published study's parts (Thisted 2020), from the start of its list."""

_SCENE_ADVICE = "correct it, or leave --groups or the column scene_id out"


@dataclass(frozen=True)
class SplitRule:
    """How chips are divided into parts.

    Attributes:
        shares: the share of each part, summing to 1; unused if `parts` is given.
        parts: the part of each image name; None to stratify.
        most_chips: how many are used, from the start of the labels csv; None for all.
        scenes: the scene of each image name, if known; no scene is in two parts.
    """

    shares: Mapping[Part, float]
    parts: Mapping[str, Part] | None = None
    most_chips: int | None = None
    scenes: Mapping[str, str] = field(default_factory=dict)


def study_rule(chips: Mapping[Part, int], scenes: Mapping[str, str]) -> SplitRule:
    """The study's split: the same numbers of chips, or the same shares if there are fewer."""
    total = sum(chips.values())
    shares = {part: count / total for part, count in chips.items()}
    return SplitRule(shares, most_chips=total, scenes=scenes)


def read_split_rule(
    labels: str | None,
    split: str | None = None,
    validation_share: float | None = None,
    test_share: float | None = None,
    groups: str | None = None,
) -> SplitRule:
    """The rule that the flags ask for.

    Args:
        labels: the labels csv, if there is one; its column scene_id, if present, has the scenes.
        split: a csv image_name,split, or `study` for the networks' shares of the study.
        validation_share, test_share: by default 0.2 and 0.
        groups: a csv image_name,scene_id, instead of the labels csv's column.

    Raises:
        UsageError: flags that contradict each other, or files that cannot be used.
        StorageError: a file cannot be read.
    """
    if split is not None and (validation_share, test_share) != (None, None):
        raise UsageError(f"--split {split} decides the parts: remove the shares, or --split")
    scenes = read_scenes(labels, groups)
    if split == STUDY:
        return study_rule(STUDY_NETWORKS, scenes)
    if split is not None:
        return SplitRule({}, read_split(split), scenes=scenes)
    validation = VALIDATION_SHARE if validation_share is None else validation_share
    test = test_share or 0.0
    if not (validation > 0 and test >= 0 and validation + test < 1):
        raise UsageError(
            f"--validation_share {validation:g} and --test_share {test:g} leave nothing for "
            "training, or nothing for validation"
        )
    shares: dict[Part, float] = {"train": 1 - validation - test, "validation": validation}
    return SplitRule(shares | ({"test": test} if test else {}), scenes=scenes)


def assign_parts(
    chips: LabelledChips, label_set: LabelSet, rule: SplitRule, seed: int
) -> dict[Part, tuple[str, ...]]:
    """Divide image names into parts: as a given split says, or stratified by label.

    Each part is sorted by name. Parts depend only on the names, labels, scenes, rule and seed.
    Names that a given split lacks, and those after the first `rule.most_chips`, are in no part.

    Raises:
        UsageError: a given split divides a scene.
    """
    names = sorted(chips.listed[: rule.most_chips])
    if rule.parts is None:
        parts = _stratified(names, chips, label_set, rule, seed)
    else:
        parts = {name: rule.parts[name] for name in names if name in rule.parts}
        _check_scenes(parts, rule.scenes)
    return {part: tuple(name for name in names if parts.get(name) == part) for part in PARTS}


def split_csv(parts: Mapping[Part, Sequence[str]]) -> str:
    """Parts as the csv image_name,split that `--split` takes."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["image_name", "split"])
    writer.writerows((name, part) for part, names in parts.items() for name in names)
    return table.getvalue()


def check_parts(
    sizes: Mapping[Part, int], advice: str = "give more labelled chips, or another --split"
) -> None:
    """Refuse to train without a training or a validation part.

    Raises:
        UsageError: one of them is empty; the message ends with the advice.
    """
    empty = [part for part in ("train", "validation") if not sizes[part]]
    refuse(empty, "parts without a usable chip", advice)


def _stratified(
    names: Sequence[str], chips: LabelledChips, label_set: LabelSet, rule: SplitRule, seed: int
) -> dict[str, Part]:
    truth = truth_of([chips.tags[name] for name in names], label_set)
    groups = _groups(names, rule.scenes)
    numbers = stratify(truth, list(rule.shares.values()), seed, groups)
    parts = list(rule.shares)
    return {name: parts[number] for name, number in zip(names, numbers, strict=True)}


def _groups(names: Sequence[str], scenes: Mapping[str, str]) -> npt.NDArray[np.int64]:
    """A number for each scene, and one for each chip without a known scene."""
    known = {scene: number for number, scene in enumerate(sorted(set(scenes.values())))}
    alone = len(known)
    found = [known[scenes[n]] if n in scenes else alone + i for i, n in enumerate(names)]
    return np.array(found, np.int64)


def _check_scenes(parts: Mapping[str, Part], scenes: Mapping[str, str]) -> None:
    pairs = {(scenes[name], part) for name, part in parts.items() if name in scenes}
    divided = named_twice(scene for scene, _ in pairs)
    refuse(divided, "--split puts chips of one scene into two parts: scenes", _SCENE_ADVICE)
