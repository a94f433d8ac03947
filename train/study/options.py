"""The options of `python -m train study`."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.artifact import MediaType
from train.data.pixel_cache import DEFAULT_CACHE_GB


@dataclass(frozen=True)
class StudyOptions:
    """Flags of the study; None stands for a default that depends on the data.

    Attributes:
        chips: folder, prefix or glob of the chips.
        labels: the labels csv.
        output: local folder for everything that the study writes.
        models: `all`, or names of `train.study.models.plan.MODELS` separated by commas.
        published: csv of published figures by label, to compare with ours.
        split: a split csv; by default the published study's shares, stratified.
        pixel_cache, pixel_cache_gb: of decoded chips, for all networks together.
        media_type, image_size, weights, epochs, label_set, precision, seed: of every network, see
            `train.options.TrainOptions`.
    """

    chips: str
    labels: str
    output: str
    models: str = "all"
    published: str | None = None
    split: str | None = None
    media_type: MediaType | None = None
    image_size: int = 64
    weights: str | None = None
    epochs: int = 50
    label_set: str | None = None
    precision: str = "auto"
    seed: int = 0
    pixel_cache: str | None = None
    pixel_cache_gb: float = DEFAULT_CACHE_GB
