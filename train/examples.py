"""From chips on storage to pixels and truth in memory: each chip read and decoded once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.errors import ChipRejected, StorageError
from pipelines.imaging import Pixels, decode_chip, sides_px
from pipelines.storage import read_bytes
from schemas.artifact import Preprocessing
from schemas.labels import LabelSet
from schemas.tables import QuarantineReason
from train.dataset import LabelledChips

Truth = npt.NDArray[np.uint8]

READABLE_SIDES_PX = (1, 8192)
"""Sides that a training chip may have: its owner chose it, so only absurd ones are refused."""

_THREADS = 8  # reading waits for the store, decoding releases the GIL
_SHOWN = 3


@dataclass(frozen=True)
class Examples:
    """Decoded chips of one part.

    Attributes:
        names: image names, a chip each.
        pixels: `uint8 [n, S, S, bands]` as the model takes them.
        truth: `uint8 [n, labels]`, 1 where the label holds.
        sides: shortest and longest side of the chips as stored, in pixels; (0, 0) for none.
        rejected: why a chip would not decode, by image name.
    """

    names: tuple[str, ...]
    pixels: Pixels
    truth: Truth
    sides: tuple[int, int] = (0, 0)
    rejected: Mapping[str, ChipRejected] = field(default_factory=dict)


def decode_chips(
    names: Sequence[str],
    chips: LabelledChips,
    label_set: LabelSet,
    preprocessing: Preprocessing,
) -> Examples:
    """Read and decode chips, each once, on several threads.

    A chip that cannot be read or decoded is left out and stands in `rejected`.
    """
    pixels = np.empty((len(names), *preprocessing.input_shape), np.uint8)

    def decode(index: int) -> tuple[int, int] | ChipRejected:
        try:
            data = read_chip(chips.uris[names[index]])
            pixels[index] = decode_chip(data, preprocessing)
            return sides_px(data)
        except ChipRejected as rejection:
            return rejection

    with ThreadPoolExecutor(_THREADS) as pool:
        outcomes = list(pool.map(decode, range(len(names))))
    kept = [i for i, outcome in enumerate(outcomes) if not isinstance(outcome, ChipRejected)]
    sides = [side for outcome in outcomes if isinstance(outcome, tuple) for side in outcome]
    return Examples(
        names=tuple(names[i] for i in kept),
        pixels=pixels if len(kept) == len(names) else pixels[kept],
        truth=truth_of([chips.tags[names[i]] for i in kept], label_set),
        sides=(min(sides, default=0), max(sides, default=0)),
        rejected={
            name: outcome
            for name, outcome in zip(names, outcomes, strict=True)
            if isinstance(outcome, ChipRejected)
        },
    )


def read_chip(uri: str) -> bytes:
    """The bytes of a chip.

    Raises:
        ChipRejected: unreadable.
    """
    try:
        return read_bytes(uri)
    except StorageError as error:
        raise ChipRejected(QuarantineReason.UNREADABLE, str(error)) from error


def truth_of(tags: Sequence[frozenset[str]], label_set: LabelSet) -> Truth:
    """`uint8 [n, labels]`: 1 where a chip has the label."""
    truth = [[name in held for name in label_set.names] for held in tags]
    return np.array(truth, np.uint8).reshape(len(tags), len(label_set.names))


def count_set_aside(
    chips: LabelledChips, named: Collection[str], examples: Iterable[Examples]
) -> dict[str, Any]:
    """What was not used, or is not as it should be, as plain data for JSON.

    Args:
        named: the image names that have a part.
        examples: the decoded parts.
    """
    reasons = Counter(r.reason.value for part in examples for r in part.rejected.values())
    return {
        "rows_without_chip": chips.rows_without_chip,
        "chips_without_row": chips.chips_without_row,
        "chips_without_part": sum(name not in named for name in chips.uris),
        "rows_without_sky_label": chips.rows_without_sky_label,
        "chips_without_learned_label": chips.chips_without_learned_label,
        "rejected": dict(reasons.most_common()),
    }


def describe_set_aside(set_aside: Mapping[str, Any], examples: Iterable[Examples]) -> list[str]:
    """The counts that are not 0, a line each, and the first few chips that would not decode."""
    counts = {name: count for name, count in set_aside.items() if name != "rejected"}
    lines = [f"  {name.replace('_', ' ')}: {count}" for name, count in counts.items() if count]
    lines += [f"  chips rejected as {name}: {n}" for name, n in set_aside["rejected"].items()]
    rejected = [pair for part in examples for pair in part.rejected.items()]
    return lines + [f"    {name!r}: {rejection.message}" for name, rejection in rejected[:_SHOWN]]
