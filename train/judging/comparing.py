"""Models compared on the same chips: how their figures differ, and where their decisions do."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from train.data.examples import Truth
from train.judging.intervals import difference_interval, resample
from train.judging.measuring import Chosen, Scores

FIGURES: Mapping[str, tuple[str, ...]] = {
    "mAP": ("mean_average_precision",),
    "macro F1": ("at_threshold", "macro_f1"),
    "micro F1": ("at_threshold", "micro_f1"),
    "sample F1": ("at_threshold", "sample_f1"),
}
"""The figures over all labels: their names, and where `resample` has them."""

LABEL_FIGURES: Mapping[str, tuple[str, ...]] = {
    "AP": ("average_precision",),
    "F1": ("at_threshold", "f1"),
}
"""The figures of a label."""


@dataclass(frozen=True)
class Judged:
    """What a model says about some chips.

    Attributes:
        scores: `float32 [n, labels]` in [0, 1].
        chosen: `bool [n, labels]`, what it decides.
    """

    scores: Scores
    chosen: Chosen


@dataclass(frozen=True)
class Difference:
    """A figure of two models on the same chips.

    Attributes:
        figure: its name, a key of `FIGURES` or `LABEL_FIGURES`.
        label: of the label; None for a figure over all labels.
        positives: chips with the label; of all labels together if there is no label.
        values: of the first and the second model; None if it is not defined.
        difference: the second value minus the first.
        interval: its 95 % interval; None with too few positives.
    """

    figure: str
    label: str | None
    positives: int
    values: tuple[float | None, float | None]
    difference: float | None
    interval: tuple[float, float] | None

    @property
    def is_clear(self) -> bool:
        """Whether the interval does not contain 0."""
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]


def compare_models(
    judged: Mapping[str, Judged], truth: Truth, labels: Sequence[str]
) -> dict[str, list[Difference]]:
    """Compare each other model with the first: the figures over all labels, then label by label.

    All models are measured under the same 1,000 draws of weights (`intervals.resample`), so what
    is hard for all of them does not widen the interval of a difference.

    Args:
        judged: by name; all of the same chips and labels.
        truth: `uint8 [n, labels]`, 1 where a chip has the label.
    """
    drawn = {
        name: resample(each.scores, truth, {"at_threshold": each.chosen}, labels)
        for name, each in judged.items()
    }
    first, *others = drawn
    positives = dict(zip(labels, truth.sum(axis=0).tolist(), strict=True))
    return {name: list(_differences(drawn[first], drawn[name], positives)) for name in others}


def order_by_disagreement(judged: Mapping[str, Judged]) -> list[int]:
    """The chips about which the models decide differently, most first.

    Chips are ordered by the number of labels that not all models decide alike, then by how far
    the scores of all labels are apart, summed.
    """
    apart, spread = disagreements(judged)
    counts, distances = apart.sum(axis=1), spread.sum(axis=1)
    order = np.lexsort((np.arange(len(counts)), -distances, -counts))
    return [int(i) for i in order if counts[i]]


def disagreements(
    judged: Mapping[str, Judged],
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Where not all models decide alike, and how far their scores are apart: `[n, labels]`."""
    chosen = np.stack([each.chosen.astype(np.uint8) for each in judged.values()])
    scores = np.stack([each.scores.astype(np.float64) for each in judged.values()])
    return np.ptp(chosen, axis=0) == 1, np.ptp(scores, axis=0)


def _differences(
    first: tuple[Any, Any], second: tuple[Any, Any], positives: Mapping[str, int]
) -> Iterator[Difference]:
    total = sum(positives.values())
    for figure, path in FIGURES.items():
        yield _difference(figure, None, total, first, second, path)
    for label, count in positives.items():
        for figure, path in LABEL_FIGURES.items():
            yield _difference(figure, label, count, first, second, ("labels", label, *path))


def _difference(
    figure: str,
    label: str | None,
    positives: int,
    first: tuple[Any, Any],
    second: tuple[Any, Any],
    path: Sequence[str],
) -> Difference:
    figures = _at(first[0], path), _at(second[0], path)
    draws = _at(first[1], path), _at(second[1], path)
    difference, ends = difference_interval(figures, draws, positives, few=figure == "AP")
    values = _number(figures[0][0]), _number(figures[1][0])
    interval = None if ends is None else (ends[0], ends[1])
    return Difference(figure, label, positives, values, _number(difference), interval)


def _at(tree: Any, path: Sequence[str]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
