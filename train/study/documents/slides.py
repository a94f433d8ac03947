"""The slides: about a dozen, from the same figures and pictures as the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from pipelines.blocks.document import (
    Block,
    Bullets,
    Cell,
    Note,
    Paragraph,
    Picture,
    TableBlock,
    plain_text,
)
from pipelines.blocks.html import block_html, render_page, text_html
from train.study.comparing.findings import describe_findings
from train.study.documents.charts import (
    COMMON,
    MEANS,
    PUBLISHED,
    RARE,
    show_chart,
    show_curves,
    show_pictures,
)
from train.study.documents.report import TITLE
from train.study.documents.tables import published_tables
from train.study.models.plan import CNN, VGG16

Study = Mapping[str, Any]


_LETTERS_A_SLIDE, _LETTERS_A_GAP, _ROWS_A_SLIDE = 800, 40, 9
_DENSE = 1.5


@dataclass(frozen=True)
class Slide:
    """A slide: a title and up to three blocks, side by side or stacked."""

    title: str
    blocks: Sequence[Block]
    is_title: bool = False
    is_stacked: bool = False


def build_slides(study: Study, folder: Path) -> list[Slide]:
    """The slides of a study, without those that would be empty."""
    filters = study["filters"][:1] + study["filters"][1:][-1:]  # the CNN's, VGG16's last
    slides = [
        Slide(TITLE, [Paragraph(_subtitle(study))], is_title=True),
        Slide("What was found", [Bullets(describe_findings(study))]),
        Slide("The chips", [_chips(study), *_explored(study, folder, "labels")]),
        Slide("Chips and their labels", _explored(study, folder, "samples")),
        Slide("The average chip of each label", _explored(study, folder, "averages")),
        Slide("The models", [_models(study)]),
        Slide("How they learned", _curves(folder)),
        Slide("All models side by side", show_chart(folder, MEANS)),
        Slide("VGG16 and the baseline CNN: common labels", show_chart(folder, COMMON)),
        Slide("VGG16 and the baseline CNN: rare labels", show_chart(folder, RARE)),
        Slide("Compared with the published study", _published(study, folder), is_stacked=True),
        Slide("What the filters look for", show_pictures(folder, filters)),
        Slide("Limits", [Bullets(study["limits"])]),
    ]
    return [slide for slide in slides if slide.blocks]


def render_slides(slides: Sequence[Slide]) -> str:
    """The slides as one page, 16:9; each is one printed page."""
    body = "\n".join(_render(slide, n, len(slides)) for n, slide in enumerate(slides, 1))
    return render_page(TITLE, _resource("slides.css"), body, _resource("slides.js"))


def _render(slide: Slide, number: int, count: int) -> str:
    blocks = "".join(
        f'<div class="{_style(block)}">{block_html(block)}</div>' for block in slide.blocks
    )
    kind = "slide title" if slide.is_title else "slide"
    direction = "columns rows" if slide.is_stacked else "columns"
    return (
        f'<section class="{kind}"><h2>{text_html(slide.title)}</h2>'
        f'<div class="{direction}">{blocks}</div>'
        f"<footer><span>{text_html(TITLE)}</span><span>{number} / {count}</span></footer></section>"
    )


def _style(block: Block) -> str:
    """The class of a block: a picture, or how small its text must be to fit on the slide."""
    match block:
        case Bullets(items):
            size = sum(len(plain_text(item)) + _LETTERS_A_GAP for item in items) / _LETTERS_A_SLIDE
        case TableBlock(rows=rows):
            size = len(rows) / _ROWS_A_SLIDE
        case Picture():
            return "picture"
        case _:
            return "normal"
    return "normal" if size <= 1 else "dense" if size <= _DENSE else "densest"


def _subtitle(study: Study) -> str:
    chips = sum(study["data"]["chips"].values())
    models = len(study["models"])
    return f"{chips:,} chips, {len(study['data']['labels'])} labels, {models} models"


def _chips(study: Study) -> Bullets:
    data = study["data"]
    parts = ", ".join(f"{count:,} {part}" for part, count in data["chips"].items() if count)
    training = data["positives"]["train"]
    most = sorted(data["labels"], key=lambda label: -training[label])
    shown = ", ".join(f"{label} ({training[label]:,})" for label in most[:3])
    rare = ", ".join(f"{label} ({training[label]:,})" for label in most[-3:])
    return Bullets(
        [
            f"{sum(data['chips'].values()):,} {data['media_type']} chips: {parts}",
            f"{len(data['labels'])} labels that occur together"
            + (f", {len(data['sky'])} of them for the sky" if data["sky"] else ""),
            f"Most frequent in training: {shown}",
            f"Rarest: {rare}",
        ]
    )


def _explored(study: Study, folder: Path, kind: str) -> list[Block]:
    pictures = study["exploration"].get("pictures", [])
    return [*show_pictures(folder, [p for p in pictures if p["kind"] == kind][:1])]


def _models(study: Study) -> TableBlock:
    rows: list[list[Cell]] = [
        [row["title"], study["models"][row["name"]]["idea"], row["parameters"], row["f1"]]
        for row in study["comparison"]["models"]
    ]
    return TableBlock(["model", "what it is", "parameters", "mean F1"], rows)


def _curves(folder: Path) -> list[Block]:
    return [p for name in (CNN, VGG16) for p in show_curves(folder, name, "Training curves")]


def _published(study: Study, folder: Path) -> list[Block]:
    published = study["published"]
    if not published:
        return []
    return [
        Note(published["statement"]),
        *(show_chart(folder, PUBLISHED) or published_tables(published)[:1]),
    ]


def _resource(name: str) -> str:
    return files("train.study.documents").joinpath(name).read_text(encoding="utf-8")
