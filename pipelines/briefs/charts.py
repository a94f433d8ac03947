"""The charts of a brief: bars by week, as SVG in the colours of the page."""

from collections.abc import Sequence
from html import escape

from pipelines.blocks.document import Svg

_WIDTH, _HEIGHT, _TOP, _FOOT = 260, 60, 12, 14


def week_bars(
    values: Sequence[float], texts: Sequence[str], most: str, ends: tuple[str, str], caption: str
) -> Svg:
    """Vertical bars, the oldest week first.

    Args:
        texts: what each bar says when a reader points at it.
        most: the highest value, written above the bars.
        ends: the first and the last week, below the axis.
        caption: what the chart shows.
    """
    top, step = max([*values, 1e-9]), _WIDTH / max(len(values), 1)
    bars = "".join(
        f'<rect class="now" x="{n * step + step * 0.1:.1f}" '
        f'y="{_TOP + _HEIGHT * (1 - value / top):.1f}" '
        f'width="{step * 0.8:.1f}" height="{_HEIGHT * value / top:.1f}">'
        f"<title>{escape(text)}</title></rect>"
        for n, (value, text) in enumerate(zip(values, texts, strict=True))
        if value
    )
    base = _TOP + _HEIGHT
    axis = f'<line class="axis" x1="0" x2="{_WIDTH}" y1="{base}" y2="{base}"/>'
    words = f'<text x="0" y="{_TOP - 3}">{escape(most)}</text>' + "".join(
        f'<text x="{x}" y="{base + _FOOT - 3}" text-anchor="{anchor}">{escape(text)}</text>'
        for x, anchor, text in ((0, "start", ends[0]), (_WIDTH, "end", ends[1]))
    )
    return Svg(bars + axis + words, _WIDTH, base + _FOOT, caption, "weeks", caption)
