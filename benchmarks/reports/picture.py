"""A chart of a run: ours, the limits and the peers, for VGG16 and for the model that costs
nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.harness.figures import Figures
from benchmarks.harness.targets import PEERS, decodes_black, our_rate, peer_rate

_OURS, _LIMIT, _PEER, _BLACK = "#1b7837", "#bdbdbd", "#4575b4", "#d9a5a5"
_TITLES = {"vgg16": "VGG16 at 64x64", "mean_colour": "a model that costs nothing"}
_LABELS = {
    "stock_beam": "Beam RunInference",
    "ray": "Ray Data",
    "daft": "Daft",
    "spark": "Spark pandas_udf",
    "tf_data": "tf.data + predict",
}

Bar = tuple[str, float, float, str]
"""Label, chips/s, half the spread in chips/s, colour."""


def draw(path: Path, figures: Figures, machine: Mapping[str, Any]) -> None:
    """Write the chart as PNG, or in the format of the suffix."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
    for axis, network in zip(axes, _TITLES, strict=True):
        _draw_network(axis, network, bars_for(figures, network))
    figure.suptitle(
        f"Scoring jpg chips: {machine['processor']}, {machine['cores']} cores, "
        f"{machine['date'][:10]}"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def bars_for(figures: Figures, network: str) -> list[Bar]:
    """What was measured of a network, top to bottom: the limit, ours, the peers by speed."""
    named = [
        ("limit of this machine", f"limits.{network}.jpg.shared_chips_per_s", _LIMIT),
        ("this project", our_rate(network), _OURS),
        ("this project, int8", our_rate(f"{network}_int8"), _OURS),
        ("this project, TensorFlow", our_rate(f"{network}_tensorflow"), _OURS),
    ]
    peers = [peer for peer in PEERS if figures.has(peer_rate(peer, network))]
    for peer in sorted(peers, key=lambda peer: -figures.median(peer_rate(peer, network))):
        black = decodes_black(figures, peer)
        label = _LABELS[peer] + ("\n(decodes to black)" if black else "")
        named.append((label, peer_rate(peer, network), _BLACK if black else _PEER))
    return [
        (label, figures.median(name), figures.median(name) * figures.spread(name) / 2, colour)
        for label, name, colour in named
        if figures.has(name)
    ]


def _draw_network(axis: Any, network: str, bars: list[Bar]) -> None:
    labels, rates, errors, colours = zip(*bars, strict=True) if bars else ((), (), (), ())
    places = range(len(labels))
    axis.barh(places, rates, xerr=errors, color=colours, error_kw={"ecolor": "#555555"})
    axis.set_yticks(places, labels)
    axis.invert_yaxis()
    for place, rate, error in zip(places, rates, errors, strict=True):
        axis.text(rate + error, place, f" {rate:,.0f}", va="center", fontsize=9)
    axis.margins(x=0.15)
    axis.set_xlabel("chips/s, start-up excluded")
    axis.set_title(_TITLES[network], fontsize=10)
    axis.spines[["top", "right"]].set_visible(False)
