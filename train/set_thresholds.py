"""Set thresholds by hand: a copy of an artifact with other thresholds, for the same model."""

import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipelines.artifacts.opening import open_artifact
from pipelines.artifacts.signing import TRUSTED_KEY
from pipelines.artifacts.threshold_files import Thresholds, read_thresholds
from pipelines.commands import CommandLine
from pipelines.errors import StorageError, UsageError, as_usage_error
from pipelines.flags import flag
from pipelines.storage.store import absolute_uri, head_object, join_uri
from pipelines.storage.store_flags import StoreOptions
from schemas.artifact import ArtifactError, ModelArtifact
from schemas.artifact_files import ARTIFACT_FILE, SIGNATURE_FILE
from schemas.decisions import Threshold
from train.artifact.export import replace_artifact, resolve_target, write_descriptions
from train.judging.figure_table import threshold_text


@dataclass(frozen=True, kw_only=True)
class SetOptions(StoreOptions):
    """The options of `python -m train set_thresholds`."""

    artifact: str = flag("The folder of the artifact: local, gs:// or s3://.", metavar="URI")
    trusted_key: str | None = TRUSTED_KEY(default=None)
    thresholds: str = flag(
        "A JSON file of label: number, or null for never; labels that it does not name keep their "
        "thresholds. Or another artifact.json.",
        metavar="URI",
    )
    to: str = flag("The local folder for the copy, which must not exist yet.", metavar="FOLDER")


LINE = CommandLine(
    "train set_thresholds",
    SetOptions,
    "Copy a model artifact, with thresholds that were set by hand. The model stays the same.",
)


def set_thresholds(options: SetOptions) -> ModelArtifact:
    """Copy an artifact with other thresholds, and return the copy. Its `model_digest` is the same,
    its `thresholds_digest` and `artifact.json` are not. What was measured or promised at the
    thresholds that changed is left out.

    Raises:
        UsageError: the artifact, the thresholds or the folder cannot be used.
        StorageError: a file cannot be read.
    """
    target = resolve_target(options.to, "--to")
    if target.exists():
        raise UsageError(f"--to {options.to} exists already; give a new folder")
    with as_usage_error("--artifact", (UsageError, ArtifactError, StorageError)):
        address = absolute_uri(options.artifact)
        everything = (lambda artifact: [*artifact.files], options.trusted_key)
        folder, artifact = open_artifact(address, "", *everything)
        was_signed = head_object(join_uri(address, SIGNATURE_FILE)) is not None
    with as_usage_error("--thresholds", (UsageError, ArtifactError)):
        uri = absolute_uri(options.thresholds)
        given = read_thresholds(uri, artifact.label_set.names, whose="artifact does")
        changed = with_thresholds(artifact, given)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replace_artifact(target) as temporary:
        for name in artifact.files:
            shutil.copyfile(folder / name, temporary / name)
        written = write_descriptions(temporary, changed)
    print("\n".join(_report(artifact, written, was_signed)))
    print(f"Artifact: {target}", flush=True)
    return written


def with_thresholds(artifact: ModelArtifact, given: Thresholds) -> ModelArtifact:
    """An artifact with thresholds for some or all of its labels.

    Raises:
        UsageError: the thresholds are of an artifact with another sky rule.
        ArtifactError: a sky label would never be chosen, though the highest score chooses it.
    """
    if given.model_digest and given.sky_rule != artifact.sky_rule:
        raise UsageError(
            f"they are of an artifact with the sky_rule {given.sky_rule}, and this one has "
            f"{artifact.sky_rule}"
        )
    thresholds = artifact.by_label | given.by_label
    changed = {n for n, threshold in thresholds.items() if threshold != artifact.by_label[n]}
    if not changed:
        return artifact
    by_hand = changed.union(artifact.set_by_hand)
    figures = {
        part: _without_measures(found, thresholds, changed)
        for part, found in artifact.figures.items()
    }
    return replace(
        artifact,
        thresholds=tuple(thresholds.values()),
        unproven_thresholds=tuple(n for n in artifact.unproven_thresholds if n not in changed),
        promises={n: found for n, found in artifact.promises.items() if n not in changed},
        figures=figures,
        set_by_hand=tuple(name for name in thresholds if name in by_hand),
    )


def _without_measures(
    figures: Mapping[str, Any], thresholds: Mapping[str, Threshold], changed: Collection[str]
) -> dict[str, Any]:
    """A part's figures (see `train.judging.measuring.measure`); those at thresholds that changed,
    and those over all labels at the thresholds, are None."""
    left = _without(figures, ("at_threshold", "cross_fitted"))
    left["labels"] = {
        name: {**_without(row, ("at_threshold",)), "threshold": thresholds[name]}
        if name in changed
        else row
        for name, row in figures.get("labels", {}).items()
    }
    if "intervals" in figures:
        ends = figures["intervals"]
        left["intervals"] = _without(ends, ("at_threshold",))
        left["intervals"]["labels"] = {
            name: _without(row, ("at_threshold",)) if name in changed else row
            for name, row in ends.get("labels", {}).items()
        }
    return left


def _without(figures: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    """Figures in which the values below some keys are None."""
    return {
        key: dict.fromkeys(value) if key in keys and isinstance(value, Mapping) else value
        for key, value in figures.items()
    }


def _report(before: ModelArtifact, after: ModelArtifact, was_signed: bool) -> list[str]:
    """What changed, for people."""
    lines = [
        f"{name}: {threshold_text(before.by_label[name])} -> {threshold_text(threshold)}"
        for name, threshold in after.by_label.items()
        if threshold != before.by_label[name]
    ] or ["No threshold differs."]
    kept = [name for name, found in before.promises.items() if found["kept"]]
    if dropped := [name for name in kept if name not in after.promises]:
        lines.append(f"Promised for other thresholds, so not any more: {', '.join(dropped)}")
    lines.append(f"thresholds_digest {after.thresholds_digest}, it was {before.thresholds_digest}")
    lines.append(
        f"model_digest {after.model_digest}, as before: relabel_chips --thresholds "
        f"{ARTIFACT_FILE} gives stored scores the new labels"
    )
    if was_signed:
        lines.append("The copy is another artifact.json and is not signed: train sign signs it.")
    return lines
