"""The charts of a night's report, as SVG that stands in the page and follows its colours."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipelines.drift.checks import EDGES, Counts
from pipelines.wording import count_of

_BAR_WIDTH, _BAR_HEIGHT = 180, 16
_BIN_WIDTH, _BINS_HEIGHT, _FOOT = 15, 64, 14


def share_bar(now: float, before: float | None, most: float) -> str:
    """A lying bar of a share, with a mark where the nights before had it.

    Args:
        most: the share at the end of the scale.
    """
    scale = _BAR_WIDTH / max(most, 1e-9)
    mark = "" if before is None else _mark(before * scale)
    said = f"{now:.1%}" + ("" if before is None else f", before {before:.1%}")
    return (
        f'<svg class="share" viewBox="0 0 {_BAR_WIDTH + 4} {_BAR_HEIGHT}" role="img" '
        f'aria-label="{said}"><rect class="now" x="0" y="3" width="{now * scale:.1f}" '
        f'height="{_BAR_HEIGHT - 6}"/>{mark}</svg>'
    )


def score_histogram(name: str, now: Counts, before: Counts | None) -> str:
    """Upright bars of the shares of scores by bin, and a line of the nights before.

    A bar's height is the square root of its share: bins of one chip in a thousand can be seen
    beside those that hold nearly all.

    Args:
        name: text for who cannot see it, escaped.
    """
    heights = _heights(now)
    width = _BIN_WIDTH * len(heights)
    bars = "".join(
        f'<rect class="now" x="{i * _BIN_WIDTH + 1}" y="{_BINS_HEIGHT - height:.1f}" '
        f'width="{_BIN_WIDTH - 2}" height="{height:.1f}"><title>{_said(i, now)}</title></rect>'
        for i, height in enumerate(heights)
    )
    line = "" if before is None else _steps(_heights(before))
    return (
        f'<svg class="scores" viewBox="0 0 {width} {_BINS_HEIGHT + _FOOT}" role="img" '
        f'aria-label="{name}">{bars}{line}<line class="axis" x1="0" x2="{width}" '
        f'y1="{_BINS_HEIGHT}" y2="{_BINS_HEIGHT}"/>{_axis()}</svg>'
    )


def _mark(x: float) -> str:
    return f'<rect class="before" x="{x:.1f}" y="0" width="3" height="{_BAR_HEIGHT}"/>'


def _heights(counts: Counts) -> Sequence[float]:
    total = max(1, int(counts.sum()))
    return [_BINS_HEIGHT * math.sqrt(count / total) for count in counts.tolist()]


def _said(number: int, counts: Counts) -> str:
    share = counts[number] / max(1, counts.sum())
    chips = count_of(int(counts[number]), "chip")
    return f"{EDGES[number]:g} to {EDGES[number + 1]:g}: {chips}, {share:.1%}"


def _steps(heights: Sequence[float]) -> str:
    points = " ".join(
        f"{x * _BIN_WIDTH},{_BINS_HEIGHT - height:.1f}"
        for i, height in enumerate(heights)
        for x in (i, i + 1)
    )
    return f'<polyline class="before" points="{points}"/>'


def _axis() -> str:
    """Edges that readers look for, where they stand: the scale is not even."""
    return "".join(
        f'<text x="{EDGES.index(edge) * _BIN_WIDTH}" y="{_BINS_HEIGHT + _FOOT - 3}" '
        f'text-anchor="{anchor}">{edge:g}</text>'
        for edge, anchor in ((0.0, "start"), (0.1, "middle"), (0.5, "middle"), (0.9, "middle"),
                             (1.0, "end"))
    )  # fmt: skip
