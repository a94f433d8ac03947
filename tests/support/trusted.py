"""Rows of `models` made by hand."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from schemas.tables import MODELS
from tests.support.published_runs import NIGHT, commit_rows


def trust(
    output: str,
    positives: Mapping[str, int | None],
    model_digest: str = "model-1",
    never: Collection[str] = (),
) -> None:
    """Say on how many chips with each label a model was judged.

    Args:
        never: the labels whose threshold is null.
    """
    rows = [
        {
            "model_digest": model_digest,
            "thresholds_digest": "thresholds-1",
            "label": label,
            "threshold": None if label in never else 0.5,
            "positives": count,
            "proven": None if count is None else count >= 10 and label not in never,
        }
        for label, count in positives.items()
    ]
    commit_rows(output, MODELS, f"of-{model_digest}", rows, NIGHT)
