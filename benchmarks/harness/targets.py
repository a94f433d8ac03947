"""The targets, and whether they are met: each ratio is computed from measured figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from benchmarks.harness.figures import Figures

PEERS = ("stock_beam", "ray", "daft", "spark", "tf_data")
BLACK_SHARE = 0.5
"""With a larger share of black chips, a peer does not decode them."""

OURS = ("vgg16", "vgg16_int8", "vgg16_tensorflow")
"""VGG16 as the command chooses, in int8, and on TensorFlow."""

_SHARED_LIMIT = "limits.vgg16.jpg.shared_chips_per_s"


@dataclass(frozen=True)
class Target:
    """A figure to reach.

    Attributes:
        name: stable name, as in the JSON.
        what: in words.
        sense: whether the measured value has to be at least or at most the bound.
        measure: returns the value; None if something that it needs was not measured.
        bound: the bound on this machine, None if it does not apply to its processor.
    """

    name: str
    what: str
    sense: Literal[">=", "<="]
    measure: Callable[[Figures], float | None]
    bound: Callable[[Mapping[str, bool]], float | None]


@dataclass(frozen=True)
class Verdict:
    """A target compared with what was measured; `value` and `met` are None if it was not."""

    name: str
    what: str
    sense: str
    bound: float
    value: float | None
    met: bool | None


def judge(figures: Figures, flags: Mapping[str, bool]) -> list[Verdict]:
    """Every target that applies to a processor with these flags."""
    verdicts = []
    for target in TARGETS:
        bound = target.bound(flags)
        if bound is not None:
            value = target.measure(figures)
            met = None if value is None else _holds(value, target.sense, bound)
            verdicts.append(Verdict(target.name, target.what, target.sense, bound, value, met))
    return verdicts


def shared_limit(model_chips_per_s: float, decode_chips_per_s: float) -> float:
    """Chips/s where the bare model and bare decoding share the cores."""
    return 1 / (1 / model_chips_per_s + 1 / decode_chips_per_s)


def decodes_black(figures: Figures, peer: str) -> bool:
    """Whether a peer turns the real chips into black pictures."""
    name = f"peers.{peer}.black_share"
    return figures.has(name) and figures.median(name) > BLACK_SHARE


def peer_rate(peer: str, network: str) -> str:
    """Name of a peer's chips/s."""
    return f"peers.{peer}.{network}.chips_per_s"


def our_rate(name: str) -> str:
    """Name of our chips/s, of a model or one of `OURS`."""
    return f"ours.{name}.jpg.chips_per_s"


def _holds(value: float, sense: str, bound: float) -> bool:
    return value >= bound if sense == ">=" else value <= bound


def _always(bound: float) -> Callable[[Mapping[str, bool]], float]:
    return lambda flags: bound


def _ratio(above: str, below: str) -> Callable[[Figures], float | None]:
    return lambda figures: figures.ratio(above, below) if figures.has(above, below) else None


def _value(name: str) -> Callable[[Figures], float | None]:
    return lambda figures: figures.median(name) if figures.has(name) else None


def _best_peer(figures: Figures, network: str, only_right: bool) -> str | None:
    peers = [peer for peer in PEERS if not (only_right and decodes_black(figures, peer))]
    best = figures.best([peer_rate(peer, network) for peer in peers])
    return None if best is None else best.split(".")[1]


def _fastest_of_limit(figures: Figures) -> float | None:
    fastest = figures.best([our_rate(name) for name in OURS])
    return None if fastest is None else _ratio(fastest, _SHARED_LIMIT)(figures)


def _against_best_peer(
    network: str, only_right: bool, suffix: str = ""
) -> Callable[[Figures], float | None]:
    def measure(figures: Figures) -> float | None:
        ours = our_rate(network + suffix)
        peer = _best_peer(figures, network, only_right)
        if peer is None or not figures.has(ours):
            return None
        return figures.ratio(ours, peer_rate(peer, network))

    return measure


def _cpu_outside_model(figures: Figures) -> float | None:
    """Our CPU time a chip with the model that costs nothing, over that of VGG16's fastest peer."""
    peer = _best_peer(figures, "vgg16", only_right=False)
    ours, theirs = (
        "ours.mean_colour.jpg.cpu_ms_per_chip",
        f"peers.{peer}.mean_colour.cpu_ms_per_chip",
    )
    return figures.ratio(ours, theirs) if figures.has(ours, theirs) else None


def _memory_difference(figures: Figures) -> float | None:
    ratio = _ratio("memory.large.peak_bytes", "memory.small.peak_bytes")(figures)
    return None if ratio is None else abs(ratio - 1)


TARGETS = (
    Target(
        "vgg16_of_limit",
        "VGG16 at 64 end to end, fastest engine and precision / limit of both sharing the cores "
        "with decoding",
        ">=",
        _fastest_of_limit,
        _always(0.95),
    ),
    Target(
        "int8_of_tensorflow",
        "VGG16 in int8 end to end / the same command in auto on TensorFlow",
        ">=",
        _ratio(our_rate("vgg16_int8"), our_rate("vgg16_tensorflow")),
        lambda flags: 1.9 if flags["avx512_vnni"] and not flags["amx_bf16"] else None,
    ),
    Target(
        "int8_of_fastest_right_peer",
        "VGG16 in int8 end to end / fastest peer that decodes right",
        ">=",
        _against_best_peer("vgg16", only_right=True, suffix="_int8"),
        lambda flags: 3.5 if flags["avx512_vnni"] else None,
    ),
    Target(
        "vgg16_of_fastest_peer",
        "VGG16 end to end / fastest peer",
        ">=",
        _against_best_peer("vgg16", only_right=False),
        lambda flags: 5.0 if flags["amx_bf16"] else 1.0,
    ),
    Target(
        "cpu_outside_model_of_fastest_peer",
        "CPU time outside the model / that of the fastest peer",
        "<=",
        _cpu_outside_model,
        lambda flags: None if flags["amx_bf16"] else 0.5,
    ),
    Target(
        "host_path_of_limit",
        "host path (mean_colour), jpg / bare read + decode",
        ">=",
        _ratio("ours.mean_colour.jpg.chips_per_s", "limits.decode.jpg.chips_per_s"),
        _always(0.85),
    ),
    Target(
        "host_path_of_fastest_right_peer",
        "host path (mean_colour), jpg / fastest peer that decodes right",
        ">=",
        _against_best_peer("mean_colour", only_right=True),
        _always(4.0),
    ),
    Target(
        "tif_host_path_of_limit",
        "host path (mean_colour), tif / bare read + decode",
        ">=",
        _ratio("ours.mean_colour.tif.chips_per_s", "limits.decode.tif.chips_per_s"),
        _always(0.80),
    ),
    Target(
        "tif_decode_of_fastest_way",
        "tif decode, cost / fastest way known",
        "<=",
        _ratio("limits.tif_decode.ours_ms", "limits.tif_decode.fastest_ms"),
        _always(1.3),
    ),
    Target(
        "store_cpu_ms",
        "CPU ms per object read over HTTP on loopback",
        "<=",
        _value("store.ours.cpu_ms_per_object"),
        _always(0.10),
    ),
    Target(
        "store_cpu_of_google",
        "the same / google-cloud-storage",
        "<=",
        _ratio("store.ours.cpu_ms_per_object", "store.google.cpu_ms_per_object"),
        _always(0.1),
    ),
    Target(
        "startup_of_script",
        "one chip, whole command / script that imports and loads",
        "<=",
        _ratio("startup.ours.seconds", "startup.script.seconds"),
        _always(1.25),
    ),
    Target(
        "startup_s",
        "one chip, whole command, seconds",
        "<=",
        _value("startup.ours.seconds"),
        _always(4.0),
    ),
    Target(
        "memory_gb",
        "peak memory of all processes at the larger archive, GB",
        "<=",
        lambda figures: _in_gb(_value("memory.large.peak_bytes")(figures)),
        _always(0.6),
    ),
    Target(
        "vgg16_memory_gb",
        "the same with VGG16",
        "<=",
        lambda figures: _in_gb(_value("ours.vgg16.jpg.peak_bytes")(figures)),
        _always(0.6),
    ),
    Target(
        "memory_difference",
        "peak memory, larger less smaller archive",
        "<=",
        _memory_difference,
        _always(0.05),
    ),
    Target(
        "rate_large_of_small",
        "chips/s at the larger archive / at the smaller",
        ">=",
        _ratio("memory.large.chips_per_s", "memory.small.chips_per_s"),
        _always(0.97),
    ),
    Target(
        "labels_differing_share",
        "labels that differ between bfloat16 and float32, share",
        "<=",
        _value("precision.bfloat16.labels_differing_share"),
        _always(0.001),
    ),
    Target(
        "int8_labels_differing_share",
        "labels that differ between int8 and float32, share",
        "<=",
        _value("precision.int8.labels_differing_share"),
        _always(0.005),
    ),
    Target(
        "training_of_constant_batch",
        "training / training on a constant batch",
        ">=",
        _ratio("training.trainer_chips_per_s", "training.constant_chips_per_s"),
        _always(0.85),
    ),
    Target(
        "training_memory_gb",
        "memory held to train on 40,479 chips, pixels not yet cached",
        "<=",
        lambda figures: _in_gb(_value("training.memory.decoding.peak_anonymous_bytes")(figures)),
        _always(4.0),
    ),
)


def _in_gb(size_bytes: float | None) -> float | None:
    return None if size_bytes is None else size_bytes / 1e9
