"""Dividing labelled chips so that every part has every label: iterative stratification.

The algorithm of Sechidis, Tsoumakas and Vlahavas (2011), "On the Stratification of Multi-label
Data": the label with the fewest chips left is assigned first, each of its chips to the part that
still lacks most of that label. Three things are added: scenes are assigned as a whole; a label that
can be in both training and validation is in both (in the paper, both chips of a label with two go
to training); and finally sizes are made exact by the moves that change the labels least. The
libraries that have the algorithm do none of these (docs/decisions/splits.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_Integers = npt.NDArray[np.int64]
_Reals = npt.NDArray[np.float64]

WHERE_ALL_LABELS_BELONG = 2
"""Number of parts, from the first: without training chips a label is not learned, without
validation chips no one knows how well."""


@dataclass(frozen=True)
class _Deal:
    """What is divided: items are scenes, or chips without a scene.

    Attributes:
        labels: `[items, labels]`, chips of an item with each label.
        sizes: `[items]`, chips of an item.
        wanted: `[parts, labels]`, chips of each label that a part should have.
        wanted_sizes: `[parts]`, chips that a part should have.
    """

    labels: _Integers
    sizes: _Integers
    wanted: _Reals
    wanted_sizes: _Integers


def stratify(
    truth: npt.NDArray[np.integer],
    shares: Sequence[float],
    seed: int,
    groups: npt.NDArray[np.integer] | None = None,
) -> _Integers:
    """The part of each chip, `int64 [n]`: an index into the shares.

    Parts have exactly the sizes of their shares, unless groups, which are never divided, prevent
    it. The result is the same for the same arguments.

    Args:
        truth: `[n, labels]`, 1 if the chip has the label.
        shares: positive, one for each part, summing to 1.
        groups: `[n]`, the same number for chips that must stay together; by default none.
    """
    groups = np.arange(len(truth)) if groups is None else np.unique(groups, return_inverse=True)[1]
    sizes = np.bincount(groups).astype(np.int64)
    labels = np.zeros((len(sizes), truth.shape[1]), np.int64)
    np.add.at(labels, groups, np.asarray(truth, np.int64))
    wanted = _wanted(labels.sum(axis=0), np.asarray(shares))
    deal = _Deal(labels, sizes, wanted, whole_sizes(len(truth), shares))
    parts = _deal_out(deal, np.random.default_rng(seed))
    _fill_empty(deal, parts)
    _spread(deal, parts)
    _settle(deal, parts)
    return parts[groups]


def whole_sizes(total: int, shares: Sequence[float]) -> _Integers:
    """A whole number of chips for each share: rounded so that they sum to the total (largest
    remainders), and none 0 if there are at least as many chips as shares.

    >>> whole_sizes(93, (0.8, 0.2)).tolist(), whole_sizes(3, (0.9, 0.05, 0.05)).tolist()
    ([74, 19], [1, 1, 1])
    """
    exact = total * np.asarray(shares, np.float64)
    sizes = np.floor(exact + 1e-9).astype(np.int64)
    for part in np.argsort(sizes - exact, kind="stable")[: total - sizes.sum()]:
        sizes[part] += 1
    for part in np.flatnonzero(sizes == 0)[: total - np.count_nonzero(sizes)]:
        sizes[sizes.argmax()] -= 1
        sizes[part] += 1
    return sizes


def _wanted(totals: _Integers, shares: _Reals) -> _Reals:
    """Each label's chips by share, at least one where required if there are enough."""
    wanted = shares[:, None] * totals
    for part in range(1, min(WHERE_ALL_LABELS_BELONG, len(shares))):
        lacking = np.where(totals > part, np.maximum(0, 1 - wanted[part]), 0)
        wanted[part] += lacking
        wanted[0] -= lacking
    return wanted


def _deal_out(deal: _Deal, rng: np.random.Generator) -> _Integers:
    """Sechidis et al.'s algorithm 1; larger items first, as they fit into fewer parts."""
    parts = np.full(len(deal.sizes), -1, np.int64)
    lacking, room = deal.wanted.copy(), deal.wanted_sizes.astype(np.float64)
    order = rng.permutation(len(parts))
    order = order[np.argsort(-deal.sizes[order], kind="stable")]
    while (left := order[parts[order] < 0]).size:
        counts = deal.labels[left].sum(axis=0)
        label = int(np.where(counts > 0, counts, np.iinfo(np.int64).max).argmin())
        of_label = left[deal.labels[left, label] > 0] if counts.any() else left
        for item in of_label:
            need = lacking[:, label] if counts.any() else room
            best = np.flatnonzero(need >= need.max() - 1e-9)
            part = best[room[best].argmax()]
            parts[item] = part
            lacking[part] -= deal.labels[item]
            room[part] -= deal.sizes[item]
    return parts


def _fill_empty(deal: _Deal, parts: _Integers) -> None:
    """Move the smallest item of the part with the most items to each part without an item."""
    items = np.bincount(parts, minlength=len(deal.wanted))
    for part in np.flatnonzero(items == 0):
        richest = int(np.bincount(parts, minlength=len(items)).argmax())
        held = np.flatnonzero(parts == richest)
        if len(held) > 1:
            parts[held[deal.sizes[held].argmin()]] = part


def _spread(deal: _Deal, parts: _Integers) -> None:
    """Move items until each label is in training and validation, or no single move helps."""
    moved = True
    while moved:
        moved = False
        for part in range(min(WHERE_ALL_LABELS_BELONG, len(deal.wanted))):
            present = (deal.labels[parts == part] > 0).any(axis=0)
            for label in np.flatnonzero(~present & (deal.labels.sum(axis=0) > 0)):
                if (deal.labels[parts == part, label] > 0).any():
                    continue  # an earlier move brought it
                movable = _movable(deal, parts, np.flatnonzero(deal.labels[:, label] > 0))
                if len(movable):
                    parts[movable[deal.sizes[movable].argmin()]] = part
                    moved = True


def _movable(deal: _Deal, parts: _Integers, items: _Integers) -> _Integers:
    """Those of the items that may move to another part: not its last item, nor the last one with
    a label in training or validation."""
    held = deal.labels > 0
    with_label = np.stack([held[parts == part].sum(axis=0) for part in range(len(deal.wanted))])
    last_of_label = (held[items] & (with_label[parts[items]] == 1)).any(axis=1)
    counts = np.bincount(parts, minlength=len(deal.wanted))
    bound = (parts[items] < WHERE_ALL_LABELS_BELONG) & last_of_label
    free: _Integers = items[~bound & (counts[parts[items]] > 1)]
    return free


def _settle(deal: _Deal, parts: _Integers) -> None:
    """Move items from parts with too many chips to parts with too few, while that helps."""
    while True:
        sizes = np.bincount(parts, deal.sizes, len(deal.wanted)).astype(np.int64)
        excess = sizes - deal.wanted_sizes
        source, target = int(excess.argmax()), int(excess.argmin())
        items = np.flatnonzero(parts == source)
        items = items[_gain(excess[source], excess[target], deal.sizes[items]) > 0]
        items = _movable(deal, parts, items)
        if not len(items):
            return
        parts[items[_harm(deal, parts, items, source, target).argmin()]] = target


def _gain(over: int, under: int, sizes: _Integers) -> _Integers:
    """By how many chips two parts get closer to their sizes if items of these sizes move."""
    after = np.abs(over - sizes) + np.abs(under + sizes)
    return np.asarray(abs(over) + abs(under) - after, np.int64)


def _harm(deal: _Deal, parts: _Integers, items: _Integers, source: int, target: int) -> _Reals:
    """What a move adds to the squared differences from the wanted counts, relative to each
    label's chips: one chip matters more to a rare label."""
    moved = deal.labels[items]
    weights = 1 / np.maximum(1, deal.labels.sum(axis=0))
    harm = np.zeros(len(items))
    for part, sign in ((source, -1), (target, 1)):
        off = deal.labels[parts == part].sum(axis=0) - deal.wanted[part]
        harm += (((off + sign * moved) ** 2 - off**2) * weights).sum(axis=1)
    return harm
