"""The model card: what a model is for, what it was trained on, how good it is, where it is weak.

After Mitchell et al. 2019, "Model Cards for Model Reporting". All of it comes from the
artifact.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.blocks import document as doc
from pipelines.blocks.markdown import render_markdown
from schemas.artifact import ModelArtifact
from schemas.artifact_files import ARTIFACT_FILE
from train.artifact.file_names import CURVES_FILE, RELIABILITY_FILE
from train.artifact.weaknesses import find_weaknesses, judged_part
from train.converting.int8 import describe
from train.judging.figure_table import figure_text, threshold_text, with_interval
from train.judging.promise import promise_lines

_METHODS = {
    "best": "the cut with the highest F{beta:g} on validation",
    "cross_fit": "the median of the cuts with the highest F{beta:g} on four fifths of validation",
    "shrunk": "the cut with the highest F{beta:g} on validation; the fewer positives a label has "
    "there, the closer its cut is to one common to all labels",
}
_PROMISED = (
    "labels with a promise: the lowest cut that promises their precision on new chips, by "
    "validation; never, if there is none"
)
_SKY_RULES = {
    "threshold": "Sky labels follow their thresholds like all others.",
    "argmax": "A chip gets the sky label with the highest score, whatever the thresholds.",
}
_COMPARED = ("average_precision", "f1")
_OVERALL = {f"{a}_f{beta}": f"{a} F{beta}" for beta in (1, 2) for a in ("macro", "micro", "sample")}


def render_model_card(artifact: ModelArtifact) -> str:
    """The card, in Markdown."""
    sections: dict[str, list[doc.Block]] = {
        "Intended use": list(map(doc.Paragraph, _use(artifact))),
        "Data": list(map(doc.Paragraph, _data(artifact.training))),
        "Measures": list(_measures(artifact)),
        "Labels": [_labels(artifact)],
        "Thresholds": list(_thresholds(artifact)),
        "Engines": list(_engines(artifact)),
        "Known weaknesses": [doc.Bullets(find_weaknesses(artifact))],
        "Training": list(_training(artifact)),
        "Versions": [doc.Paragraph(", ".join(f"{n} {v}" for n, v in artifact.versions.items()))],
    }
    digest: doc.Text = ["Model digest ", doc.Code(artifact.model_digest), "."]
    blocks: list[doc.Block] = [doc.Paragraph(digest)]
    for title, section in sections.items():
        blocks += [doc.Heading(title), *section]
    return render_markdown(doc.Document(f"Model card: {artifact.network}", blocks))


def _use(artifact: ModelArtifact) -> Iterator[doc.Text]:
    preprocessing, count = artifact.preprocessing, len(artifact.label_set.names)
    shortest, longest = preprocessing.accepted_sides_px
    yield (
        f"Finds which of {count} labels apply to a {preprocessing.media_type} satellite chip. It "
        "points out chips for people to look at; it is not proof by itself."
    )
    taken, stored = ", ".join(preprocessing.bands), ", ".join(preprocessing.stored_bands)
    taken = f"{taken} (stored: {stored}, {preprocessing.samples})" if stored else taken
    yield [
        f"It takes {taken.replace('near_infrared', 'near infrared')} of chips of {shortest} to "
        f"{longest} pixels per side, averaged to {preprocessing.image_size}. For another sensor, "
        "processing or region than in the data below, measure it again with ",
        doc.Code("python -m train evaluate"),
        ".",
    ]


def _data(training: Mapping[str, Any]) -> Iterator[doc.Text]:
    options = training["options"]
    chips, labels = doc.Code(str(options["chips"])), doc.Code(str(options["labels"]))
    yield ["Chips ", chips, ", labels ", labels, "."]
    parts = [f"{count:,} {part}" for part, count in training["chips"].items() if count]
    yield f"Chips by part: {', '.join(parts)}."
    excluded = {**training["set_aside"], **training["set_aside"]["rejected"]}
    del excluded["rejected"]
    counts = [f"{count:,} {name.replace('_', ' ')}" for name, count in excluded.items() if count]
    if counts:
        yield f"Left out, or not as expected: {', '.join(counts)}."


def _measures(artifact: ModelArtifact) -> Iterator[doc.Block]:
    part = judged_part(artifact.figures)
    figures = artifact.figures[part]
    ends = figures["intervals"]
    yield doc.Paragraph(
        f"On {figures['chips']:,} {part} chips, with 95 % intervals: how far a figure would move "
        "with other chips like these."
    )
    rows = [
        [name, *(with_interval(figures[w][key], ends[w][key]) for w in ("at_threshold", "at_half"))]
        for key, name in _OVERALL.items()
    ]
    yield doc.TableBlock(["measure", "at the thresholds", "at 0.5"], rows)
    precision = with_interval(figures["mean_average_precision"], ends["mean_average_precision"])
    yield doc.Paragraph(
        f"mAP {precision}. Mean of each label's best F1 on these same chips: "
        f"{figure_text(figures['mean_best_f1'])}. Expected calibration error: "
        f"{figure_text(figures['calibration']['expected_error'])}."
    )


def _labels(artifact: ModelArtifact) -> doc.TableBlock:
    part = judged_part(artifact.figures)
    figures, learned = artifact.figures[part], artifact.training["positives"]["train"]
    rows = []
    for name, row in figures["labels"].items():
        chosen, ends = row["at_threshold"], figures["intervals"]["labels"][name]
        rows.append(
            [
                name,
                learned[name],
                row["positives"],
                *(chosen[key] for key in ("predicted", "precision", "recall")),
                with_interval(chosen["f1"], ends["at_threshold"]["f1"]),
                with_interval(row["average_precision"], ends["average_precision"]),
            ]
        )
    head = ["label", "training chips", f"{part} chips", "reported", "precision", "recall"]
    return doc.TableBlock([*head, "F1", "AP"], rows)


def _thresholds(artifact: ModelArtifact) -> Iterator[doc.Block]:
    options = artifact.training["options"]
    method = _METHODS[options["threshold_method"]].format(beta=options["threshold_beta"])
    rule = f" {_SKY_RULES[artifact.sky_rule]}" if artifact.label_set.sky else ""
    rules = [_PROMISED] if artifact.promises else []
    if len(artifact.promises) < len(artifact.thresholds):
        rules.insert(0, f"{'labels without a promise: ' * bool(rules)}{method}")
    yield doc.Paragraph(
        f"A label applies if its score is at or above its threshold: {'; '.join(rules)}.{rule}"
    )
    for line in promise_lines(artifact.promises):
        yield doc.Paragraph(f"{line}.")
    rows = [
        [name, threshold_text(threshold), _proof(artifact, name)]
        for name, threshold in artifact.by_label.items()
    ]
    yield doc.TableBlock(["label", "threshold", "proof"], rows, numbers={1})


def _proof(artifact: ModelArtifact, label: str) -> str:
    if label in artifact.set_by_hand:
        return "set by hand"
    count = artifact.figures["validation"]["labels"][label]["positives"]
    return f"{count} validation chip{'s' * (count > 1)}" if count else "none"


def _engines(artifact: ModelArtifact) -> Iterator[doc.Block]:
    known = artifact.engines.get("openvino")
    if known is None:
        yield doc.Paragraph("TensorFlow.")
        return
    yield doc.Paragraph("TensorFlow, and OpenVINO with the same scores in float32.")
    if found := known.get("int8"):
        when = ""
        if artifact.set_by_hand:
            when = " These are decisions before thresholds were set by hand."
        yield doc.Paragraph(f"{describe(found)}.{when}")
        yield doc.TableBlock(
            [
                "label",
                "AP, float32",
                "AP, int8",
                "F1, float32",
                "F1, int8",
                "decisions that differ",
            ],
            [
                [
                    name,
                    *(row[figure][kind] for figure in _COMPARED for kind in ("float32", "int8")),
                    f"{row['decisions_differing']:.2%}",
                ]
                for name, row in found["labels"].items()
            ],
            numbers={5},
        )


def _training(artifact: ModelArtifact) -> Iterator[doc.Block]:
    training = artifact.training
    options = training["options"]
    yield doc.Paragraph(
        [
            f"{artifact.network}, started from {training['weights']['source']}; best epoch "
            f"{training['best_epoch']} of {training['epochs']}, {options['batch_size']} chips a "
            f"step, learning rate {options['learning_rate']:g}, {options['precision']}, seed "
            f"{options['seed']}. Curves: ",
            *(doc.Code(CURVES_FILE), "; calibration: ", doc.Code(RELIABILITY_FILE)),
            *("; every option and figure: ", doc.Code(ARTIFACT_FILE), "."),
        ]
    )
    if earlier := training["weights"].get("artifact"):
        address, digest = doc.Code(earlier["address"]), doc.Code(earlier["model_digest"])
        yield doc.Paragraph(
            [
                *("It goes on from ", address, " (model digest ", digest, "): "),
                f"{earlier['note']}.",
            ]
        )
    if training["temperatures"]:
        values = ", ".join(f"{n} {value:.2f}" for n, value in training["temperatures"].items())
        yield doc.Paragraph(f"Calibrated; temperatures: {values}.")
