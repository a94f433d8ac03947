"""The report of a study: first the findings in plain words, then the figures behind them.

Every number comes from the study's figures (`study.json`), every picture from a file that the
study wrote. A part that was not run is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.blocks import document as doc
from train.study.comparing.comparison import FEWEST_POSITIVES, RARE_IN_STUDY
from train.study.comparing.findings import describe_findings, describe_variants
from train.study.documents.charts import COMMON, MEANS, PUBLISHED, RARE, show_chart, show_pictures
from train.study.documents.report_exploration import exploration_blocks
from train.study.documents.report_models import model_blocks
from train.study.documents.tables import (
    means_table,
    published_tables,
    threshold_tables,
    versus_table,
)

Study = Mapping[str, Any]

TITLE = "What the chips show: a study of forest labels"


_MEANS_CAPTION = (
    "Mean F1 of every model. A model with fewer labels has its mean over those. Where whiskers "
    "overlap widely, the order might be different on other chips."
)


def build_report(study: Study, folder: Path) -> doc.Document:
    """The report of a study whose pictures are in a folder."""
    blocks = [
        *_findings(study),
        *_data(study),
        *exploration_blocks(study, folder),
        *model_blocks(study, folder),
        *_thresholds(study),
        *_comparison(study, folder),
        *_published(study, folder),
        *_filters(study, folder),
        doc.Heading("Limits"),
        doc.Bullets(study["limits"]),
        *_making(study),
    ]
    return doc.Document(TITLE, blocks)


def _findings(study: Study) -> list[doc.Block]:
    return [
        doc.Heading("What was found"),
        doc.Bullets(describe_findings(study)),
        doc.Paragraph(
            "F1 says how well a label is found: 1 if exactly the chips that carry it are reported, "
            "0 if no report is right. It is the harmonic mean of precision (which "
            "share of the reports is right) and recall (which share of the chips is reported). A "
            "mean F1 gives every label the same weight, however rare."
        ),
        *map(doc.Note, study["warnings"]),
    ]


def _data(study: Study) -> list[doc.Block]:
    data = study["data"]
    parts = [part for part, count in data["chips"].items() if count]
    rows: list[list[doc.Cell]] = [
        [label, *(data["positives"][part][label] for part in parts)] for label in data["labels"]
    ]
    rows.append(["all chips", *(data["chips"][part] for part in parts)])
    sky = ", ".join(data["sky"])
    return [
        doc.Heading("The chips"),
        doc.Paragraph(
            f"{sum(data['chips'].values()):,} labelled {data['media_type']} chips in the parts "
            "below. Networks learn from the training part; thresholds and the best epoch "
            "are chosen on the validation part; the test part is kept for the figures of this "
            "report." + (f" Each chip has one sky label: {sky}." if sky else "")
        ),
        doc.TableBlock(
            ["label", *parts], rows, "Chips that carry each label", strong={len(rows) - 1}
        ),
        *_set_aside(data["set_aside"]),
    ]


def _set_aside(set_aside: Mapping[str, Any]) -> list[doc.Block]:
    counts = {name: n for name, n in set_aside.items() if name != "rejected" and n}
    said = [f"{name.replace('_', ' ')}: {count:,}" for name, count in counts.items()]
    rejected = set_aside.get("rejected", {})
    said += [f"chips that could not be used ({name}): {n:,}" for name, n in rejected.items()]
    return [doc.Paragraph("Left out, or not as expected:"), doc.Bullets(said)] if said else []


def _thresholds(study: Study) -> list[doc.Block]:
    if not study["comparison"]["thresholds"]:
        return []
    titles = {name: m["title"] for name, m in study["models"].items() if m["network"]}
    return [
        doc.Heading("Thresholds"),
        doc.Paragraph(
            "A network computes a score from 0 to 1 for each label; the label is reported if its "
            "score reaches its threshold. The best threshold of a label is the one with the "
            "highest F1 on the validation chips. Its F1 is too optimistic, since the same chips "
            "chose it, and with few positives it is partly luck. Therefore the threshold in use "
            "is between the best one and one common to all labels: the fewer chips carry the "
            "label, the closer to the common one."
        ),
        *threshold_tables(study["comparison"], titles),
    ]


def _comparison(study: Study, folder: Path) -> list[doc.Block]:
    comparison = study["comparison"]
    if not comparison["models"]:
        return []
    blocks: list[doc.Block] = [
        doc.Heading("All models side by side"),
        *show_chart(folder, MEANS, _MEANS_CAPTION),
        means_table(comparison),
    ]
    if said := describe_variants(study["models"], comparison["part"]):
        blocks += [
            doc.Paragraph("The variants compared with the baseline, over the labels of both:"),
            doc.Bullets(said),
        ]
    return blocks + _versus(comparison["vgg16_vs_cnn"], folder)


def _versus(compared: Mapping[str, Any] | None, folder: Path) -> list[doc.Block]:
    if compared is None:
        return []
    return [
        doc.Heading("VGG16 and the baseline CNN, label by label", 3),
        doc.Paragraph(
            f"Rare are labels that fewer than {RARE_IN_STUDY:.0%} of the training chips carry, or "
            f"fewer than {FEWEST_POSITIVES} of them; all others are common."
        ),
        *show_chart(folder, COMMON, "F1 of the common labels, from the most frequent down."),
        *show_chart(folder, RARE, "F1 of the rare labels, from the most frequent down."),
        versus_table(compared),
    ]


def _published(study: Study, folder: Path) -> list[doc.Block]:
    published = study["published"]
    if not published:
        return []
    return [
        doc.Heading("Compared with the published study"),
        doc.Note(published["statement"]),
        *show_chart(folder, PUBLISHED, f"Mean F1 as published ({published['source']}) and here."),
        *published_tables(published),
    ]


def _filters(study: Study, folder: Path) -> list[doc.Block]:
    if not study["filters"]:
        return []
    return [
        doc.Heading("What the filters look for"),
        doc.Paragraph(
            "A convolution filter responds strongly to one kind of pattern. Each picture began as "
            "noise and was changed step by step so that one filter responds more strongly."
        ),
        *show_pictures(folder, study["filters"]),
    ]


def _making(study: Study) -> list[doc.Block]:
    rows: list[list[doc.Cell]] = [[name, _brief(value)] for name, value in study["options"].items()]
    rows += [[name, version] for name, version in study["versions"].items()]
    times: list[list[doc.Cell]] = [
        [m["title"], m["seconds"], m["epochs"], m["best_epoch"], m["model_digest"][:12]]
        for m in study["models"].values()
        if m["network"]
    ]
    return [
        doc.Heading("How it was made"),
        doc.Paragraph(f"Written on {study['written_at']} by `python -m train study`."),
        doc.TableBlock(["option or package", "value"], rows, "Options and versions"),
        doc.TableBlock(
            ["model", "seconds", "epochs", "best epoch", "model digest"],
            times,
            "Training of the networks. The digest, shortened here, identifies weights, "
            "architecture and preprocessing",
        ),
    ]


def _brief(value: Any) -> str:
    return "default" if value is None else str(value)
