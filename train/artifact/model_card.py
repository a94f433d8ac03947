"""The model card: what a model is for, what it learnt from, how good it is, where it is weak.

After Mitchell et al. 2019, "Model Cards for Model Reporting". Every sentence comes from what the
artifact says of itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from schemas.artifact import ModelArtifact
from train.artifact.weaknesses import find_weaknesses, judged_part
from train.judging.figure_table import figure_text, interval_text

_METHODS = {
    "best": "the cut with the highest F{beta:g} on validation",
    "cross_fit": "the median of the cuts with the highest F{beta:g} on four fifths of validation",
    "shrunk": "the cut with the highest F{beta:g} on validation, drawn towards one cut for all "
    "labels the fewer positives the label has there",
}
_SKY_RULES = {
    "threshold": "Sky labels follow their thresholds like all others.",
    "argmax": "Of the sky labels a chip gets the one of the highest score, whatever its threshold.",
}
_OVERALL = {
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "sample_f1": "sample F1",
    "macro_f2": "macro F2",
    "micro_f2": "micro F2",
    "sample_f2": "sample F2",
}


def render_model_card(artifact: ModelArtifact) -> str:
    """The card, in Markdown."""
    sections = {
        "Intended use": _use(artifact),
        "Data": _data(artifact.training),
        "Measures": _measures(artifact),
        "Labels": _labels(artifact),
        "Thresholds": _thresholds(artifact),
        "Known weaknesses": (f"- {weakness}" for weakness in find_weaknesses(artifact)),
        "Training": _training(artifact),
        "Versions": [", ".join(f"{name} {version}" for name, version in artifact.versions.items())],
    }
    blocks = [f"# Model card: {artifact.network}\n\nModel digest `{artifact.model_digest}`."]
    blocks += [f"## {title}\n\n" + "\n".join(lines) for title, lines in sections.items()]
    return "\n\n".join(blocks) + "\n"


def _use(artifact: ModelArtifact) -> Iterator[str]:
    made, count = artifact.preprocessing, len(artifact.label_set.names)
    shortest, longest = made.accepted_sides_px
    yield (
        f"Finds in {made.media_type} satellite chips which of {count} labels hold. It points out "
        "chips for people to look at; it proves nothing by itself."
    )
    yield ""
    yield (
        f"It takes {', '.join(made.bands).replace('_', ' ')} of chips of {shortest} to {longest} "
        f"pixels a side, averaged to {made.image_size}. Other sensors, other processing or other "
        "regions than those of the data below need figures of their own: "
        "`python -m train evaluate` makes them."
    )


def _data(training: Mapping[str, Any]) -> Iterator[str]:
    options = training["options"]
    yield f"Chips `{options['chips']}`, labels `{options['labels']}`."
    yield ""
    parts = [f"{count:,} {part}" for part, count in training["chips"].items() if count]
    yield f"Chips by part: {', '.join(parts)}."
    aside = {**training["set_aside"], **training["set_aside"]["rejected"]}
    counts = [
        f"{count:,} {name.replace('_', ' ')}"
        for name, count in aside.items()
        if name != "rejected" and count
    ]
    if counts:
        yield f"Set aside or not as they should be: {', '.join(counts)}."


def _measures(artifact: ModelArtifact) -> Iterator[str]:
    part = judged_part(artifact.figures)
    figures = artifact.figures[part]
    ends = figures["intervals"]
    yield (
        f"On {figures['chips']:,} {part} chips, with 95 % intervals: how far a figure would move "
        "with other chips like these."
    )
    yield from ["", "| measure | at the thresholds | at 0.5 |", "|---|---|---|"]
    for key, name in _OVERALL.items():
        cells = (_with_ends(figures[w][key], ends[w][key]) for w in ("at_threshold", "at_half"))
        yield f"| {name} | {' | '.join(cells)} |"
    precision = _with_ends(figures["mean_average_precision"], ends["mean_average_precision"])
    yield from [
        "",
        f"mAP {precision}. Mean of each label's best F1 on these very chips: "
        f"{figure_text(figures['mean_best_f1'])}. Expected calibration error: "
        f"{figure_text(figures['calibration']['expected_error'])}.",
    ]


def _labels(artifact: ModelArtifact) -> Iterator[str]:
    part = judged_part(artifact.figures)
    figures, learnt = artifact.figures[part], artifact.training["positives"]["train"]
    yield f"| label | training chips | {part} chips | reported | precision | recall | F1 | AP |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, row in figures["labels"].items():
        chosen, ends = row["at_threshold"], figures["intervals"]["labels"][name]
        cells = [
            *(str(count) for count in (learnt[name], row["positives"], chosen["predicted"])),
            figure_text(chosen["precision"]),
            figure_text(chosen["recall"]),
            _with_ends(chosen["f1"], ends["at_threshold"]["f1"]),
            _with_ends(row["average_precision"], ends["average_precision"]),
        ]
        yield f"| {name} | {' | '.join(cells)} |"


def _thresholds(artifact: ModelArtifact) -> Iterator[str]:
    options = artifact.training["options"]
    method = _METHODS[options["threshold_method"]].format(beta=options["threshold_beta"])
    yield f"A label holds where its score is at or over its threshold: {method}."
    if artifact.label_set.sky:
        yield _SKY_RULES[artifact.sky_rule]
    yield from ["", "| label | threshold | proof |", "|---|---|---|"]
    for name, threshold in zip(artifact.label_set.names, artifact.thresholds, strict=True):
        count = artifact.figures["validation"]["labels"][name]["positives"]
        proof = f"{count} validation chip{'s' * (count > 1)}" if count else "none"
        yield f"| {name} | {threshold:.4f} | {proof} |"


def _training(artifact: ModelArtifact) -> Iterator[str]:
    training = artifact.training
    options = training["options"]
    yield (
        f"{artifact.network}, started from {training['weights']['source']}; best epoch "
        f"{training['best_epoch']} of {training['epochs']}, {options['batch_size']} chips a step, "
        f"learning rate {options['learning_rate']:g}, {options['precision']}, seed "
        f"{options['seed']}. Curves: `curves.png`; calibration: `reliability.png`; every option "
        "and figure: `artifact.json`."
    )
    if training["temperatures"]:
        hot = ", ".join(f"{name} {value:.2f}" for name, value in training["temperatures"].items())
        yield from ["", f"Calibrated; temperatures: {hot}."]


def _with_ends(value: float | None, ends: Sequence[float] | None) -> str:
    return f"{figure_text(value)} ({interval_text(ends)})" if ends else figure_text(value)
