"""What identifies a training, so that only the same one resumes from its checkpoints."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pipelines.flags import must_match
from train.data.examples import Examples
from train.data.label_files import Part
from train.fitting.epochs import FitOptions

_MEASURED = ("batch_size", "learning_rate")
"""Options whose default depends on the data."""
_SAMPLE = 256  # chips whose pixels are compared, since all may be many gigabytes


def options_identity(options: Any) -> dict[str, Any]:
    """What the options alone decide, before any chip is read."""
    fields = {name: getattr(options, name) for name in must_match(type(options))}
    fields = {k: v for k, v in fields.items() if v is not None or k not in _MEASURED}
    for group in (options.augmentation, options.imbalance, options.schedule):
        fields |= asdict(group)
    return fields


def training_identity(
    architecture: Mapping[str, Any],
    options: FitOptions,
    weights_digest: str | None,
    parts: Mapping[Part, Examples],
) -> dict[str, Any]:
    """Everything that decides the result of a training, as flat data with readable names."""
    fields: dict[str, Any] = {**architecture, "weights": weights_digest}
    for name, value in asdict(options).items():
        fields |= value if isinstance(value, dict) else {name: value}
    fields |= {f"{part} chips": _describe(examples) for part, examples in parts.items()}
    return fields


def _describe(examples: Examples) -> str:
    digest = hashlib.sha256("\n".join(examples.names).encode())
    digest.update(examples.truth.tobytes())
    step = max(1, len(examples.names) // _SAMPLE)
    digest.update(examples.pixels[::step].tobytes())
    side = examples.pixels.shape[1]
    return f"{len(examples.names)} of {side} px, sha256 {digest.hexdigest()[:12]}"
