"""Makes an int8 network, and judges it against float32 on validation chips."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.artifacts.openvino_network import OpenVinoNetwork
from schemas.artifact import ModelArtifact
from schemas.decisions import choose_labels
from schemas.networks.openvino_file import OpenVinoModel
from train.converting.network import write_network
from train.converting.quantising import Scores, quantise, quantise_carefully
from train.data.examples import Truth
from train.data.pixel_rows import PixelSource
from train.judging.figure_table import figure_text
from train.judging.measuring import average_precision, measure_overall
from train.judging.promise import keeps_promise

MOST_LOST_PRECISION = 0.002
"""Mean average precision that int8 may lose."""

MOST_DIFFERENT = 0.005
"""Share of the decisions (a chip has a label or not) that may differ from float32."""


@dataclass(frozen=True)
class Chips:
    """Chips to make an int8 network with.

    Attributes:
        calibration: `uint8 [n, S, S, bands]`, training chips.
        validation: the same of validation chips.
        truth: `uint8 [n, labels]` of the validation chips.
    """

    calibration: PixelSource
    validation: PixelSource
    truth: Truth


def add_int8(
    folder: Path, artifact: ModelArtifact, network: Any, checked: OpenVinoModel, chips: Chips
) -> dict[str, Any]:
    """Write the int8 network into an artifact's folder and print how it differs.

    If it is not good enough, layers that hurt stay at higher precision, and the better of the two
    is written, whether that is good enough or not: few validation chips can make any network miss
    the limits, and an operator decides.

    Args:
        network: the float32 network in OpenVINO's memory.
        checked: the same as it was written.

    Returns:
        See `compare`, with the number of `chips`; `careful`, whether layers stay at higher
        precision; `promises_lost`, the labels whose promised precision the int8 scores cannot
        promise at the artifact's threshold; `accepted`, whether there are none of these and the
        rest is within the limits.
    """
    ends = (artifact.preprocessing.input_shape, len(artifact.label_set.names))
    exact = _score_all(OpenVinoNetwork(checked, "float32", *ends), chips.validation)

    def excess(scores: Scores, numbers: Sequence[int]) -> float:
        chosen = np.array(numbers)
        return _excess(compare(artifact, exact[chosen], scores, chips.truth[chosen]))

    def judge(quantised: Any, careful: bool) -> dict[str, Any]:
        written = write_network(folder, "int8", quantised)
        scores = _score_all(OpenVinoNetwork(written, "int8", *ends), chips.validation)
        found = compare(artifact, exact, scores, chips.truth)
        lost = lost_promises(artifact, scores, chips.truth)
        counted = {"chips": len(chips.validation), "careful": careful, "promises_lost": lost}
        return found | counted | {"accepted": _excess(found) <= 1 and not lost}

    plain = quantise(network, chips.calibration)
    found = judge(plain, careful=False)
    if not found["accepted"]:
        print("int8 changes too much: looking for the layers that hurt, some minutes", flush=True)
        quantised = quantise_carefully(network, chips.calibration, chips.validation, excess)
        before, found = found, judge(quantised, careful=True)
        if _rank(found) > _rank(before):
            found = judge(plain, careful=False)
    print(describe(found), flush=True)
    return found


def lost_promises(artifact: ModelArtifact, scores: Scores, truth: Truth) -> list[str]:
    """The labels of whose promises validation chips, scored by an int8 network, are no proof."""
    return [
        name
        for i, (name, threshold) in enumerate(artifact.by_label.items())
        if name in artifact.promises
        and threshold is not None
        and not keeps_promise(
            scores[:, i], truth[:, i], threshold, artifact.promises[name]["precision"]
        )
    ]


def compare(artifact: ModelArtifact, exact: Scores, scores: Scores, truth: Truth) -> dict[str, Any]:
    """How scores differ from the float32 network's of the same chips, as plain data for JSON.

    `mean_average_precision` and `macro_f1` (at the thresholds) of `float32` and `int8`;
    `decisions_differing`, a share; `largest_difference` of a score; and under `labels` the same for
    each, with `average_precision` and `f1`. A figure that is not defined is None.
    """
    names, rule = artifact.label_set.names, artifact.sky_rule
    both = {"float32": exact, "int8": scores}
    chosen = {
        kind: choose_labels(found, artifact.thresholds, artifact.label_set, rule)
        for kind, found in both.items()
    }
    differing, apart = chosen["float32"] != chosen["int8"], np.abs(exact - scores)

    labels: dict[str, dict[str, Any]] = {
        name: {
            "average_precision": {
                kind: average_precision(truth[:, i], found[:, i]) for kind, found in both.items()
            },
            "f1": {
                kind: measure_overall(truth[:, i : i + 1], found[:, i : i + 1])["macro_f1"]
                for kind, found in chosen.items()
            },
            "decisions_differing": float(differing[:, i].mean()),
            "largest_difference": float(apart[:, i].max()),
        }
        for i, name in enumerate(names)
    }
    return {
        "mean_average_precision": _mean_of(labels, "average_precision"),
        "macro_f1": _mean_of(labels, "f1"),
        "decisions_differing": float(differing.mean()),
        "largest_difference": float(apart.max()),
        "labels": labels,
    }


def _mean_of(labels: Mapping[str, Mapping[str, Any]], figure: str) -> dict[str, float | None]:
    """The mean over the labels that have the figure, by kind."""
    known = [row[figure] for row in labels.values() if row[figure]["float32"] is not None]
    return {
        kind: float(np.mean([row[kind] for row in known])) if known else None
        for kind in ("float32", "int8")
    }


def describe(found: dict[str, Any]) -> str:
    """The comparison in a line for people."""
    precision, f1 = found["mean_average_precision"], found["macro_f1"]
    kept = "; layers that hurt stay at higher precision" if found["careful"] else ""
    if lost := found.get("promises_lost"):
        kept += f"; it cannot promise the precision of {', '.join(lost)}"
    elif not found.get("accepted", True):
        kept += (
            f"; that is more than the {MOST_LOST_PRECISION:g} of mAP or the {MOST_DIFFERENT:.1%} "
            "of the decisions that it should be at most"
        )
    return (
        f"int8 compared with float32 on {found['chips']:,} validation chips: mAP "
        f"{figure_text(precision['int8'])} and {figure_text(precision['float32'])}, macro F1 "
        f"{figure_text(f1['int8'])} and {figure_text(f1['float32'])}, "
        f"{found['decisions_differing']:.2%} of the decisions differ, a score by up to "
        f"{found['largest_difference']:.3f}{kept}"
    )


def _excess(found: dict[str, Any]) -> float:
    """How far a comparison is from what is accepted: up to 1 it is."""
    precision = found["mean_average_precision"]
    lost: float = (precision["float32"] or 0.0) - (precision["int8"] or 0.0)
    differing: float = found["decisions_differing"]
    return max(lost / MOST_LOST_PRECISION, differing / MOST_DIFFERENT)


def _rank(found: dict[str, Any]) -> tuple[bool, int, float]:
    """The lower, the better."""
    return not found["accepted"], len(found["promises_lost"]), _excess(found)


def _score_all(network: OpenVinoNetwork, pixels: PixelSource) -> Scores:
    starts = range(0, len(pixels), 256)
    return np.concatenate([network(pixels[start : start + 256]) for start in starts])
