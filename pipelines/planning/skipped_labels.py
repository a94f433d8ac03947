"""Chips that a run skips, since its model has scored them before, but whose newest labels are not
those that its artifact would give them."""

from __future__ import annotations

import shlex

from pipelines.storage.store import join_uri
from pipelines.tables.views import newest_runs
from pipelines.wording import count_of
from schemas.artifact import ModelArtifact
from schemas.artifact_files import ARTIFACT_FILE

_COLUMNS = ("scored", "model_digest", "thresholds_digest")
_SHOWN = 12  # of a digest


def skipped_labels_text(
    output: str, address: str, artifact: ModelArtifact, skipped: int
) -> str | None:
    """What to do about skipped chips if the newest published scores have other thresholds, or are
    of another model; None if they are those of the artifact.

    Args:
        address: of the artifact, as it was given.
        skipped: number of chips.

    Raises:
        StorageError: the table `runs` cannot be read.
    """
    newest = _newest(output) if skipped else None
    if newest is None:
        return None
    model, thresholds = newest
    chips = count_of(skipped, "skipped chip")
    if model != artifact.model_digest:
        return (
            f"{chips}: this model has scored them before; the newest scores in OUTPUT are of "
            f"another model, {model[:_SHOWN]}. --rescore makes those of this model the newest"
        )
    if thresholds != artifact.thresholds_digest:
        file = shlex.quote(join_uri(address, ARTIFACT_FILE))
        command = f"beam_jobs.relabel_chips --output {shlex.quote(output)} --thresholds {file}"
        return (
            f"{chips}: their labels are by other thresholds, {thresholds[:_SHOWN]}; to label them "
            f"by those of --artifact: python -m {command}"
        )
    return None


def _newest(output: str) -> tuple[str, str] | None:
    """The digests of model and thresholds of the newest published run with scores."""
    for run in newest_runs(output, _COLUMNS):
        if run["scored"]:
            return run["model_digest"], run["thresholds_digest"]
    return None
