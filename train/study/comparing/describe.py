"""A study as plain data, `study.json`: everything that its report and slides show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from train.artifact.export import package_versions
from train.data.label_files import PARTS, Part
from train.study.comparing.comparison import (
    FEWEST_POSITIVES,
    choose_best,
    compare_models,
    compare_thresholds,
    compare_vgg16,
    compared_part,
)
from train.study.comparing.published import compare_with_published
from train.study.models.exploration import FOLDER as EXPLORATION
from train.study.models.filter_pictures import read_filters
from train.study.models.forest_model import describe_forest, find_forest
from train.study.models.material import Material
from train.study.models.models import describe_network, find_kept, network_options
from train.study.models.plan import FOREST, MODELS
from train.study.models.records import read_results
from train.study.options import StudyOptions

FEW_CHIPS = 1000
"""With fewer judged chips, a mean F1 moves by some hundredths by chance alone."""


def describe_study(
    options: StudyOptions,
    material: Material,
    models: Mapping[str, Mapping[str, Any]],
    folder: Path,
    failures: Mapping[str, str],
    published: Mapping[str, Mapping[str, Any]] | None,
) -> dict[str, Any]:
    """Everything that the report shows.

    Args:
        models: what `describe_models` returned.
        failures: why models could not be trained, by name.
        published: what `train.study.comparing.published.read_published` returned, if used.
    """
    part = compared_part(models)
    chips: dict[str, int] = {part: len(names) for part, names in material.parts.items()}
    return {
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "options": asdict(options),
        "versions": package_versions(),
        "data": {
            "media_type": material.media_type,
            "labels": list(material.label_set.names),
            "sky": list(material.label_set.sky),
            "chips": chips,
            "positives": {part: material.positives(part) for part in PARTS},
            "set_aside": next((m["set_aside"] for m in models.values() if m["network"]), {}),
            "digest": material.digest,
        },
        "exploration": read_results(folder, EXPLORATION),
        "filters": read_filters(models, folder),
        "models": dict(models),
        "failures": dict(failures),
        "comparison": {
            "part": part,
            "best": choose_best(models),
            "models": compare_models(models),
            "thresholds": compare_thresholds(models),
            "vgg16_vs_cnn": compare_vgg16(models, material.positives("train"), chips["train"]),
        },
        "published": compare_with_published(models, part, material.label_set, chips, published),
        "warnings": _warnings(chips, part, failures),
        "limits": _limits(material, part),
    }


def describe_models(options: StudyOptions, material: Material, folder: Path) -> dict[str, Any]:
    """The finished models that fit, trained now or before, by name; in the order of `MODELS`."""
    found: dict[str, Any] = {}
    if forest := find_forest(options, material, folder):
        found[FOREST] = describe_forest(forest, material)
    for model in MODELS.values():
        if model.network is None:
            continue
        asked = network_options(model, options, material, folder)
        if find_kept(model.name, asked, material, folder):
            found[model.name] = describe_network(model, folder)
    return found


def _warnings(chips: Mapping[str, int], part: str, failures: Mapping[str, str]) -> list[str]:
    warnings = [f"{MODELS[name].title} failed: {text}" for name, text in failures.items()]
    if part != "test":
        warnings.append(
            "There is no test part: figures are on the validation chips, which also chose "
            "thresholds and epochs, so they are too optimistic."
        )
    if chips[part] < FEW_CHIPS:
        warnings.append(
            f"Only {chips[part]:,} chips are judged. With so few, a mean F1 moves by some "
            "hundredths from one sample of chips to the next, so small differences mean nothing."
        )
    return warnings


def _limits(material: Material, part: Part) -> list[str]:
    counts = material.positives("train"), material.positives(part)
    names = material.label_set.names
    few = [name for name in names if min(held[name] for held in counts) < FEWEST_POSITIVES]
    limits = [
        "The labels were given by people who looked at the chips; where they were wrong, a "
        "right report counts as wrong.",
        "The figures hold for chips like these: same satellites, same processing, same regions "
        "and seasons. On others they may be lower.",
        "Each model was trained once. With another seed the figures change, most of all for rare "
        "labels.",
        "A picture of a filter shows what excites it, not why the network decides.",
    ]
    if few:
        limits.insert(
            0,
            f"Fewer than {FEWEST_POSITIVES} chips in training or {part} carry "
            f"{', '.join(few)}: they cannot be judged.",
        )
    return limits
