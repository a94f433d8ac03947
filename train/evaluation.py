"""The evaluation, top to bottom: an artifact and labelled chips in, its figures out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.artifacts.signing import TRUSTED_KEY
from pipelines.commands import CommandLine
from pipelines.errors import StorageError, UsageError, as_usage_error
from pipelines.flags import common_flag, flag
from pipelines.storage.store import absolute_uri, head_object, is_remote, read_bytes, write_bytes
from schemas.decisions import choose_labels
from train.artifact_chips import (
    OpenedArtifact,
    choose_part,
    decode_for,
    match_chips,
    open_checked,
    score,
    trained_names,
)
from train.data.examples import Examples, count_set_aside, describe_set_aside
from train.data.pixel_cache import choose_cache
from train.evaluating.details import resolve_details, write_details
from train.evaluating.evaluated import Evaluated
from train.judging.figure_table import format_figures
from train.judging.measuring import measure
from train.shared_options import CacheOptions, LabelledOptions, PartOptions

_MOST_FIGURES_BYTES = 1 << 24


@dataclass(frozen=True)
class EvaluateOptions(CacheOptions, PartOptions, LabelledOptions):
    """The options of `python -m train evaluate`."""

    artifact: str = flag("The folder of the artifact: local, gs:// or s3://.", metavar="URI")
    trusted_key: str | None = TRUSTED_KEY(default=None)
    output: str | None = common_flag(
        "The JSON file for the figures; predictions, curves and suspected label errors go to the "
        "folder of the same name without .json. Default: ARTIFACT.evaluation.json next to the "
        "artifact, whose own files are part of its digest.",
        metavar="FILE",
        default=None,
    )


LINE = CommandLine("train evaluate", EvaluateOptions, "Measure a model artifact on labelled chips.")


def evaluate_artifact(options: EvaluateOptions) -> dict[str, Any]:
    """Measure an artifact on labelled chips; print the figures, and write them with their details.

    Raises:
        UsageError: the artifact, the chips or the labels cannot be used.
        StorageError: a file cannot be read, or the figures cannot be written.
    """
    cache = choose_cache(options.pixel_cache, options.pixel_cache_gb)
    opened = open_checked("--artifact", options.artifact, options.trusted_key)
    artifact = opened.description
    output = _output(options, opened.address)
    details = _details_folder(output)
    resolve_details("--output", details)
    chips = match_chips(options, artifact)
    parts = choose_part(options, list(chips.uris))
    names = [name for name, part in parts.items() if part == (options.part or "test")]
    examples = decode_for(artifact, names, chips, cache)
    set_aside = count_set_aside(chips, parts, [examples])
    print("\n".join([f"Chips: {len(names)}", *describe_set_aside(set_aside, [examples])]))
    evaluated = _evaluate(opened, examples, chips.uris)
    figures = _measure(evaluated)
    report = {
        "model_digest": artifact.model_digest,
        "thresholds_digest": artifact.thresholds_digest,
        "sky_rule": artifact.sky_rule,
        "set_aside": set_aside,
        **figures,
    }
    write_bytes(output, (json.dumps(report, indent=2, allow_nan=False) + "\n").encode())
    print(f"Figures: {output}", flush=True)
    page = write_details(details, evaluated, figures, f"Evaluation of {opened.name}")
    print(f"Predictions, curves, confusions and suspected label errors: {page}", flush=True)
    return report


def _output(options: EvaluateOptions, artifact: str) -> str:
    """The address for the figures; by default next to the artifact."""
    with as_usage_error("--output", (UsageError, StorageError)):
        if options.output is not None:
            output = absolute_uri(options.output)
            if not _is_ours(output):
                raise UsageError(f"{output} exists and has no figures of an evaluation")
            return output
        place = artifact if is_remote(artifact) else Path(artifact).resolve()
        return f"{place}.evaluation.json"


def _is_ours(output: str) -> bool:
    """Whether there is nothing at this address, or what an evaluation wrote."""
    if head_object(output) is None:
        return is_remote(output) or not Path(output).is_dir()
    try:
        found = json.loads(read_bytes(output, _MOST_FIGURES_BYTES))
    except (StorageError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and {"model_digest", "set_aside"} <= found.keys()


def _details_folder(output: str) -> str:
    """Where everything but the figures goes: next to them."""
    return output.removesuffix(".json") if output.endswith(".json") else f"{output}.details"


def _evaluate(opened: OpenedArtifact, examples: Examples, uris: Mapping[str, str]) -> Evaluated:
    artifact = opened.description
    scores = score(opened, examples)
    trained = trained_names(opened)
    return Evaluated(
        names=examples.names,
        uris=uris,
        truth=examples.truth,
        scores=scores,
        chosen=choose_labels(scores, artifact.thresholds, artifact.label_set, artifact.sky_rule),
        trained=np.array([name in trained for name in examples.names], np.bool_),
        artifact=artifact,
    )


def _measure(found: Evaluated) -> dict[str, Any]:
    artifact = found.artifact
    figures = measure(
        found.scores, found.truth, artifact.label_set, artifact.thresholds, artifact.sky_rule
    )
    print(format_figures(figures), flush=True)
    if found.trained_note:
        print(found.trained_note, flush=True)
    return figures
