"""What `--promise` asks for: which labels promise which precision."""

import argparse
import math
from collections.abc import Mapping, Sequence

from pipelines.errors import UsageError
from pipelines.flags import Number
from schemas.labels import LabelSet
from train.judging._arrays import Integers
from train.judging.promise import fewest_chips

ALL_LABELS = "precision"
"""What stands for all ground labels, those that are not of the sky."""

_SHOWN = 5  # labels in a message
_number = Number(float, -math.inf, math.inf)


def parse_promise(text: str) -> tuple[str, float]:
    """`precision=0.9` or `LABEL=0.9` as a pair.

    Raises:
        argparse.ArgumentTypeError: it has another form, or the number is not between 0 and 1.
    """
    label, equals, number = text.rpartition("=")
    if not equals or not label.strip():
        raise argparse.ArgumentTypeError(
            f"must be {ALL_LABELS}=0.9 or LABEL=0.9, not {text[:60]!r}"
        )
    precision: float = _number(number)
    if precision == 1:
        raise argparse.ArgumentTypeError(
            "must be under 1: no number of chips proves a precision of 1"
        )
    if not 0 < precision < 1:
        raise argparse.ArgumentTypeError(
            f"must be between 0 and 1, such as 0.9 for 90 %, not {number[:60]}"
        )
    return label.strip(), precision


def read_promises(asked: Sequence[tuple[str, float]], label_set: LabelSet) -> dict[str, float]:
    """Label to the precision that it must promise, in label order; a label's own value wins over
    that of all.

    Raises:
        UsageError: a label is unknown, a sky label, or named twice; or all labels are meant and
            there is no ground label.
    """
    given = dict(asked)
    ground = [name for name in label_set.names if name not in label_set.sky]
    if len(given) < len(asked):
        names = [name for name, _ in asked]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise UsageError(f"--promise: named twice: {', '.join(twice)}")
    for name in given:
        if name in label_set.sky:
            raise UsageError(
                f"--promise: {name!r} is a sky label; a promise is for ground labels: "
                f"{', '.join(ground) or 'there are none'}"
            )
        if name != ALL_LABELS and name not in ground:
            raise UsageError(f"--promise: there is no label {name!r}, only {', '.join(ground)}")
    if ALL_LABELS in given and not ground:
        raise UsageError("--promise: all labels are of the sky; a promise is for ground labels")
    return {
        name: given.get(name, given.get(ALL_LABELS, 0.0))
        for name in ground
        if name in given or ALL_LABELS in given
    }


def describe_outlook(
    promises: Mapping[str, float], truth: Integers, names: Sequence[str]
) -> str | None:
    """Before anything is trained, the labels that have too few validation chips for their promise,
    in a line for people; None if there are none.

    Args:
        truth: `[n, labels]` of the validation part.

    Raises:
        UsageError: no label has enough chips, so the model would report none of them.
    """
    few = []
    for label, precision in promises.items():
        needed = fewest_chips(precision, len(truth))
        if (positives := int(truth[:, list(names).index(label)].sum())) < needed:
            few.append(f"{label} ({positives} of {needed} for {precision:g})")
    if not few:
        return None
    shown = ", ".join([*few[:_SHOWN], *([f"and {len(few) - _SHOWN} more"] if few[_SHOWN:] else [])])
    if len(few) == len(promises):
        raise UsageError(
            "--promise: no label has the validation chips that its promise needs at least: "
            f"{shown}; give more labelled chips, a larger --validation_share or a lower precision"
        )
    return (
        "Labels with too few validation chips for their promise, which will never be reported: "
        f"{shown}"
    )
