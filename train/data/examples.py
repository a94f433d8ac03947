"""From chips in storage to pixels and truth: each chip read and decoded once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.errors import ChipRejected
from pipelines.imaging.decoding import decode_chip, read_header
from pipelines.storage.chips import read_chip
from schemas.artifact import Preprocessing
from schemas.labels import LabelSet
from train.data.dataset import LabelledChips
from train.data.pixel_cache import content_key, version_key
from train.data.pixel_rows import PixelRows, PixelSource, chunk_rows
from train.data.pixel_store import DecodedChip, MemoryPixels, StoredChip

Truth = npt.NDArray[np.uint8]

READABLE_SIDES_PX = (1, 8192)
"""Sides that a training chip may have: the user chose it, so only absurd ones are refused."""

_MOST_BYTES = READABLE_SIDES_PX[1] ** 2 * 8 + (1 << 20)  # 4 bands of 16 bits, and metadata

READING_THREADS = 8
"""Threads that read and decode: reading waits for the store, decoding releases the GIL."""

_SHOWN = 3


@dataclass(frozen=True)
class Examples:
    """Decoded chips of one part.

    Attributes:
        names: image names, one for each chip.
        pixels: `uint8 [n, S, S, bands]` as the model takes them; they may be larger than the
            memory, so read them in batches or with `train.data.pixel_rows.chunks`.
        truth: `uint8 [n, labels]`, 1 if the chip has the label.
        sides: shortest and longest side of the chips as stored, in pixels; (0, 0) without chips.
        rejected: why a chip was not decoded, by image name.
    """

    names: tuple[str, ...]
    pixels: PixelSource
    truth: Truth
    sides: tuple[int, int] = (0, 0)
    rejected: Mapping[str, ChipRejected] = field(default_factory=dict)


def decode_chips(
    names: Sequence[str],
    chips: LabelledChips,
    label_set: LabelSet,
    preprocessing: Preprocessing,
    store: MemoryPixels | None = None,
) -> Examples:
    """Read and decode chips, each once, on several threads, except those that the store has.

    A chip that cannot be read or decoded is left out and is in `rejected`.

    Args:
        store: where pixels of this preprocessing are stored; by default in memory.

    Raises:
        UsageError: the store is not writable.
    """
    store = store or MemoryPixels()
    outcomes = _load_all(names, chips, preprocessing, store)
    kept = {n: found for n, found in outcomes.items() if not isinstance(found, ChipRejected)}
    sides = [side for _, both in kept.values() for side in both]
    places = [place for place, _ in kept.values()]
    return Examples(
        names=tuple(kept),
        pixels=PixelRows.of(store.arrays, places, preprocessing.input_shape),
        truth=truth_of([chips.tags[name] for name in kept], label_set),
        sides=(min(sides, default=0), max(sides, default=0)),
        rejected={n: found for n, found in outcomes.items() if isinstance(found, ChipRejected)},
    )


def _load_all(
    names: Sequence[str], chips: LabelledChips, preprocessing: Preprocessing, store: MemoryPixels
) -> dict[str, StoredChip | ChipRejected]:
    """Where each chip is, or why it was rejected. Decoded chips go to the store in chunks, so that
    only one chunk is in memory in addition."""

    def load(name: str) -> DecodedChip | StoredChip | ChipRejected:
        return _load(chips.uris[name], chips.versions.get(name), preprocessing, store)

    rows = chunk_rows(preprocessing.input_shape)
    outcomes: dict[str, StoredChip | ChipRejected] = {}
    with ThreadPoolExecutor(READING_THREADS) as pool:
        for start in range(0, len(names), rows):
            chunk = names[start : start + rows]
            loaded = dict(zip(chunk, pool.map(load, chunk), strict=True))
            outcomes |= _store_decoded(loaded, store)
    store.flush()
    return outcomes


def _store_decoded(
    loaded: Mapping[str, DecodedChip | StoredChip | ChipRejected], store: MemoryPixels
) -> dict[str, StoredChip | ChipRejected]:
    decoded = {name: chip for name, chip in loaded.items() if isinstance(chip, DecodedChip)}
    store.found_chips += sum(isinstance(outcome, tuple) for outcome in loaded.values())
    places = dict(zip(decoded, store.add(list(decoded.values())), strict=True))
    return {
        name: (places[name], outcome.sides) if isinstance(outcome, DecodedChip) else outcome
        for name, outcome in loaded.items()
    }


def _load(
    uri: str, version: str | None, preprocessing: Preprocessing, store: MemoryPixels
) -> DecodedChip | StoredChip | ChipRejected:
    """A chip from the store, or decoded; not read if its version identifies it in the store."""
    try:
        if version is not None and (found := store.find(version_key(uri, version))):
            return found
        data = read_training_chip(uri)
        key = content_key(data) if version is None else version_key(uri, version)
        if version is None and (found := store.find(key)):
            return found
        header = read_header(data)
        sides_px = header.width_px, header.height_px
        return DecodedChip(key, sides_px, decode_chip(data, preprocessing))
    except ChipRejected as rejection:
        return rejection


def read_training_chip(uri: str) -> bytes:
    """The bytes of a chip; raises as `read_chip`."""
    return read_chip(uri, _MOST_BYTES)


def truth_of(tags: Sequence[frozenset[str]], label_set: LabelSet) -> Truth:
    """`uint8 [n, labels]`: 1 where a chip has the label."""
    truth = [[name in held for name in label_set.names] for held in tags]
    return np.array(truth, np.uint8).reshape(len(tags), len(label_set.names))


def count_set_aside(
    chips: LabelledChips, named: Collection[str], examples: Iterable[Examples]
) -> dict[str, Any]:
    """Counts of what was not used or is incomplete, as plain data for JSON.

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
    """A line for each count that is not 0, and the first few chips that were not decoded."""
    counts = {name: count for name, count in set_aside.items() if name != "rejected"}
    lines = [f"  {name.replace('_', ' ')}: {count}" for name, count in counts.items() if count]
    lines += [f"  chips rejected as {name}: {n}" for name, n in set_aside["rejected"].items()]
    rejected = [pair for part in examples for pair in part.rejected.items()]
    return lines + [f"    {name!r}: {rejection.message}" for name, rejection in rejected[:_SHOWN]]
