"""The charts of a night's report, as SVG in the colours of the page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipelines.blocks.document import Svg
from pipelines.drift.checks import EDGES, Counts
from pipelines.wording import count_of

_BAR_WIDTH, _BAR_HEIGHT = 180, 16
_BIN_WIDTH, _BINS_HEIGHT, _FOOT = 15, 64, 14


def share_bar(now: float, before: float | None, most: float) -> Svg:
    """A horizontal bar of a share, with a mark at the share of the nights before.

    Args:
        most: the share at the end of the scale.
    """
    scale = _BAR_WIDTH / max(most, 1e-9)
    bar = f'<rect class="now" x="0" y="3" width="{now * scale:.1f}" height="{_BAR_HEIGHT - 6}"/>'
    text = f"{now:.1%}"
    if before is not None:
        x = f"{before * scale:.1f}"
        bar += f'<rect class="before" x="{x}" y="0" width="3" height="{_BAR_HEIGHT}"/>'
        text += f", before {before:.1%}"
    return Svg(bar, _BAR_WIDTH + 4, _BAR_HEIGHT, text, "share")


def score_histogram(label: str, now: Counts, before: Counts | None) -> Svg:
    """Vertical bars of the shares of scores by bin, and a line for the nights before.

    A bar's height is the square root of its share: bins of one chip in a thousand can be seen
    next to those that hold nearly all.
    """
    heights = _heights(now)
    width = _BIN_WIDTH * len(heights)
    bars = "".join(
        f'<rect class="now" x="{i * _BIN_WIDTH + 1}" y="{_BINS_HEIGHT - height:.1f}" '
        f'width="{_BIN_WIDTH - 2}" height="{height:.1f}"><title>{_describe(i, now)}</title></rect>'
        for i, height in enumerate(heights)
    )
    line = "" if before is None else _steps(_heights(before))
    axis = f'<line class="axis" x1="0" x2="{width}" y1="{_BINS_HEIGHT}" y2="{_BINS_HEIGHT}"/>'
    markup = f"{bars}{line}{axis}{_edges()}"
    return Svg(markup, width, _BINS_HEIGHT + _FOOT, f"scores of {label}", "scores", label)


def _heights(counts: Counts) -> Sequence[float]:
    total = max(1, int(counts.sum()))
    return [_BINS_HEIGHT * math.sqrt(count / total) for count in counts.tolist()]


def _describe(number: int, counts: Counts) -> str:
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


def _edges() -> str:
    """The edges that readers look for: the scale is not even."""
    return "".join(
        f'<text x="{EDGES.index(edge) * _BIN_WIDTH}" y="{_BINS_HEIGHT + _FOOT - 3}" '
        f'text-anchor="{anchor}">{edge:g}</text>'
        for edge, anchor in ((0.0, "start"), (0.1, "middle"), (0.5, "middle"), (0.9, "middle"),
                             (1.0, "end"))
    )  # fmt: skip
