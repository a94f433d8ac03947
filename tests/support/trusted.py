"""Rows of `models` made by hand."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.tables import MODELS
from tests.support.published_runs import NIGHT, commit_rows


def trust(output: str, positives: Mapping[str, int | None], model_digest: str = "model-1") -> None:
    """Say on how many chips with each label a model was judged."""
    rows = [
        {
            "model_digest": model_digest,
            "thresholds_digest": "thresholds-1",
            "label": label,
            "threshold": 0.5,
            "positives": count,
            "proven": None if count is None else count >= 10,
        }
        for label, count in positives.items()
    ]
    commit_rows(output, MODELS, f"of-{model_digest}", rows, NIGHT)
