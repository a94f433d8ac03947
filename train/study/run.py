"""The study, top to bottom: chips and labels in; models, comparison, report and slides out."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.blocks.html import render_html
from pipelines.blocks.markdown import render_markdown
from pipelines.errors import RunFailed
from pipelines.storage.store import write_bytes
from train.artifact.export import check_replaceable
from train.data.pixel_cache import choose_cache
from train.options import check_options
from train.results import resolve_output
from train.study.comparing.describe import describe_models, describe_study
from train.study.comparing.published import read_published
from train.study.documents.charts import draw_charts
from train.study.documents.report import build_report
from train.study.documents.slides import build_slides, render_slides
from train.study.models.exploration import explore_or_keep
from train.study.models.filter_pictures import draw_or_keep_filters
from train.study.models.forest_model import grow_or_keep
from train.study.models.material import Material, gather_material
from train.study.models.models import (
    BEST,
    copy_best,
    load_missing_weights,
    network_options,
    train_or_keep,
)
from train.study.models.plan import VGG16, StudyModel, choose_models
from train.study.models.start_weights import check_start_weights, weights_for
from train.study.options import StudyOptions


def run_study(options: StudyOptions) -> dict[str, Any]:
    """Run every part that was asked for, and write report, slides and `study.json`; returns
    the content of `study.json`.

    What was finished before and still fits is reused. If the training of a model fails, the study
    continues without that model.

    Raises:
        UsageError: an option or input cannot be used.
        StorageError: an input cannot be read.
        RunFailed: a model could not be trained; the report is written, without it.
    """
    folder = resolve_output(options.output)
    check_replaceable(folder / BEST, "--output")
    choose_cache(options.pixel_cache, options.pixel_cache_gb)  # refuses a wrong one at once
    check_start_weights(options)
    published = read_published(options.published) if options.published else None
    material = gather_material(options)
    chosen = choose_models(options.models, bool(material.label_set.sky))
    asked = {
        model.name: network_options(model, options, material, folder)
        for model in chosen
        if model.network
    }
    for each in asked.values():
        check_options(each)
    print(_describe_material(material), flush=True)
    load_missing_weights(asked, material, folder)
    logging.getLogger("tensorflow").addFilter(_is_not_retracing_advice)
    print("\nExploration", flush=True)
    if explore_or_keep(options, material, folder):
        print("kept: explored before", flush=True)
    failures = _run_models(chosen, options, material, folder)
    models = describe_models(options, material, folder)
    print("\nFilter pictures", flush=True)
    draw_or_keep_filters(models, weights_for(options, VGG16), options.seed, folder)
    study = describe_study(options, material, models, folder, failures, published)
    write_study(folder, study)
    if failures:
        raise RunFailed("; ".join(f"{name}: {text}" for name, text in failures.items()))
    return study


def write_study(folder: Path, study: Mapping[str, Any]) -> None:
    """Write `study.json`, the pictures, the report, the slides and the best model."""
    write_bytes(str(folder / "study.json"), (json.dumps(study, indent=1) + "\n").encode())
    draw_charts(folder, study)
    report = build_report(study, folder)
    pages = {
        "report.html": render_html(report),
        "report.md": render_markdown(report, folder),
        "slides.html": render_slides(build_slides(study, folder)),
    }
    for name, text in pages.items():
        write_bytes(str(folder / name), text.encode())
    if best := study["comparison"]["best"]:
        copy_best(best, folder)
    print(f"\nReport: {folder / 'report.html'}\nSlides: {folder / 'slides.html'}", flush=True)


def _run_models(
    chosen: Sequence[StudyModel], options: StudyOptions, material: Material, folder: Path
) -> dict[str, str]:
    """Train or reuse each model; returns the errors of those that failed, by name."""
    failures = {}
    for number, model in enumerate(chosen, 1):
        print(f"\n[{number}/{len(chosen)}] {model.title}", flush=True)
        started = time.monotonic()
        try:
            was_there = _run_model(model, options, material, folder)
        except RunFailed as error:
            failures[model.name] = str(error)
            print(f"failed: {error}", flush=True)
            continue
        took = f"trained in {time.monotonic() - started:,.0f} s"
        print("kept: trained before" if was_there else took, flush=True)
    return failures


def _run_model(model: StudyModel, options: StudyOptions, material: Material, folder: Path) -> bool:
    """Train a model, unless it is there; returns whether it was."""
    if model.network is None:
        return grow_or_keep(options, material, folder)
    asked = network_options(model, options, material, folder)
    return train_or_keep(model.name, asked, material, folder)[1]


def _is_not_retracing_advice(record: logging.LogRecord) -> bool:
    """A study compiles one function for each model. TensorFlow takes them for one function that
    is compiled again and again, and would print a warning between the figures."""
    return "tf.function retracing" not in record.getMessage()


def _describe_material(material: Material) -> str:
    sizes = ", ".join(f"{len(names):,} {part}" for part, names in material.parts.items() if names)
    labels = len(material.label_set.names)
    return f"Study on {sizes} chips ({material.media_type}); {labels} labels"
