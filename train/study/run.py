"""The study, top to bottom: chips and labels in; models, comparison, report and slides out."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.errors import RunFailed
from pipelines.storage import write_bytes
from train.results import resolve_output
from train.study.charts import draw_charts
from train.study.describe import describe_study
from train.study.exploration import explore_or_keep
from train.study.markdown import render_markdown
from train.study.material import Material, gather_material
from train.study.models import copy_best, network_options, train_or_keep
from train.study.options import StudyOptions
from train.study.page import render_html
from train.study.plan import StudyModel, choose_models
from train.study.published import read_published
from train.study.report import build_report
from train.study.slides import build_slides, render_slides
from train.training import check_options

STUDY_FILE, REPORT_PAGE, REPORT_TEXT, SLIDES_PAGE = (
    "study.json",
    "report.html",
    "report.md",
    "slides.html",
)


def run_study(options: StudyOptions) -> dict[str, Any]:
    """Run every part that was asked for, and write report, slides and `study.json`; give the last.

    What was finished before and still fits is kept. A model whose training fails costs the study
    that model alone.

    Raises:
        UsageError: something that was given cannot be used.
        StorageError: a file that was given cannot be read.
        RunFailed: a model could not be trained; the report is written, without it.
    """
    folder = resolve_output(options.output)
    published = read_published(options.published) if options.published else None
    material = gather_material(options)
    chosen = choose_models(options.models, bool(material.label_set.sky))
    networks = [model for model in chosen if model.network]
    for model in networks:
        check_options(network_options(model, options, material, folder))
    print(_describe_material(material), flush=True)
    _explore(options, material, folder)
    failures = _train_networks(networks, options, material, folder)
    study = describe_study(options, material, folder, failures, published)
    write_study(folder, study)
    if failures:
        raise RunFailed("; ".join(f"{name}: {text}" for name, text in failures.items()))
    return study


def write_study(folder: Path, study: Mapping[str, Any]) -> None:
    """Write `study.json`, the pictures, the report, the slides and the best model."""
    write_bytes(str(folder / STUDY_FILE), (json.dumps(study, indent=1) + "\n").encode())
    draw_charts(folder, study)
    report = build_report(study, folder)
    pages = {
        REPORT_PAGE: render_html(report),
        REPORT_TEXT: render_markdown(report, folder),
        SLIDES_PAGE: render_slides(build_slides(study, folder)),
    }
    for name, text in pages.items():
        write_bytes(str(folder / name), text.encode())
    if best := study["comparison"]["best"]:
        copy_best(best, folder)
    print(f"\nReport: {folder / REPORT_PAGE}\nSlides: {folder / SLIDES_PAGE}", flush=True)


def _explore(options: StudyOptions, material: Material, folder: Path) -> None:
    print("\nExploration", flush=True)
    if explore_or_keep(options, material, folder):
        print("kept: explored before", flush=True)


def _train_networks(
    networks: Sequence[StudyModel], options: StudyOptions, material: Material, folder: Path
) -> dict[str, str]:
    """Train or keep each network; what became of those that failed, by name."""
    failures = {}
    for number, model in enumerate(networks, 1):
        print(f"\n[{number}/{len(networks)}] {model.title}", flush=True)
        started = time.monotonic()
        try:
            asked = network_options(model, options, material, folder)
            _, was_there = train_or_keep(model.name, asked, material, folder)
        except RunFailed as error:
            failures[model.name] = str(error)
            print(f"failed: {error}", flush=True)
            continue
        took = f"trained in {time.monotonic() - started:,.0f} s"
        print("kept: trained before" if was_there else took, flush=True)
    return failures


def _describe_material(material: Material) -> str:
    sizes = ", ".join(f"{len(names):,} {part}" for part, names in material.parts.items() if names)
    labels = len(material.label_set.names)
    return f"Study on {sizes} chips ({material.media_type}); {labels} labels"
