"""The evaluation, top to bottom: an artifact and labelled chips in, its figures out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.artifacts.loading import load_model
from pipelines.artifacts.opening import open_artifact
from pipelines.artifacts.signing import TRUSTED_KEY
from pipelines.commands import CommandLine
from pipelines.errors import StorageError, UsageError, as_usage_error
from pipelines.flags import common_flag, flag
from pipelines.storage.store import absolute_uri, head_object, is_remote, read_bytes, write_bytes
from schemas.artifact import ArtifactError, ModelArtifact
from train.artifact_chips import decode_for, match_chips
from train.data.examples import Examples, count_set_aside, describe_set_aside
from train.data.label_files import Part, read_split
from train.data.pixel_cache import choose_cache
from train.shared_options import CacheOptions, LabelledOptions

_MOST_FIGURES_BYTES = 1 << 24


@dataclass(frozen=True)
class EvaluateOptions(CacheOptions, LabelledOptions):
    """The options of `python -m train evaluate`."""

    artifact: str = flag("The folder of the artifact: local, gs:// or s3://.", metavar="URI")
    trusted_key: str | None = TRUSTED_KEY(default=None)
    split: str | None = common_flag(
        "A csv with the columns image_name and split. Default: measure all chips.",
        metavar="FILE",
        default=None,
    )
    part: Part | None = common_flag("The part of --split to measure. Default: test.", default=None)
    output: str | None = common_flag(
        "The JSON file for the figures. Default: ARTIFACT.evaluation.json next to the "
        "artifact, whose own files are part of its digest.",
        metavar="FILE",
        default=None,
    )


LINE = CommandLine("train evaluate", EvaluateOptions, "Measure a model artifact on labelled chips.")


def evaluate_artifact(options: EvaluateOptions) -> dict[str, Any]:
    """Measure an artifact on labelled chips; print the figures and write them as JSON.

    Raises:
        UsageError: the artifact, the chips or the labels cannot be used.
        StorageError: a file cannot be read, or the figures cannot be written.
    """
    cache = choose_cache(options.pixel_cache, options.pixel_cache_gb)
    with as_usage_error("--artifact", (UsageError, ArtifactError, StorageError)):
        address = absolute_uri(options.artifact)
        folder, artifact = open_artifact(address, trusted_key=options.trusted_key)
    output = _output(options, address)
    chips = match_chips(options, artifact)
    parts = _parts(options, list(chips.uris))
    names = [name for name, part in parts.items() if part == (options.part or "test")]
    if not names:
        raise UsageError(f"--split has no chip in its part {options.part or 'test'}; see --part")
    examples = decode_for(artifact, names, chips, cache)
    set_aside = count_set_aside(chips, parts, [examples])
    print("\n".join([f"Chips: {len(names)}", *describe_set_aside(set_aside, [examples])]))
    report = {
        "model_digest": artifact.model_digest,
        "thresholds_digest": artifact.thresholds_digest,
        "sky_rule": artifact.sky_rule,
        "set_aside": set_aside,
        **_measure(folder, artifact, examples),
    }
    write_bytes(output, (json.dumps(report, indent=2, allow_nan=False) + "\n").encode())
    print(f"Figures: {output}", flush=True)
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


def _parts(options: EvaluateOptions, names: Sequence[str]) -> dict[str, Part]:
    """The part of each chip; without a split they are all in test."""
    if options.split is None:
        if options.part:
            raise UsageError(f"--part {options.part} needs --split, which defines it")
        return dict.fromkeys(names, "test")
    split = read_split(options.split)
    return {name: split[name] for name in names if name in split}


def _measure(folder: Path, artifact: ModelArtifact, examples: Examples) -> dict[str, Any]:
    if not examples.names:
        raise UsageError("none of the chips can be decoded with the artifact's preprocessing")
    from train.judging.figure_table import format_figures
    from train.judging.measuring import measure, predict_scores

    scores = predict_scores(load_model(folder, artifact), examples.pixels)
    figures = measure(
        scores, examples.truth, artifact.label_set, artifact.thresholds, artifact.sky_rule
    )
    print(format_figures(figures), flush=True)
    return figures
