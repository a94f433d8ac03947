"""Labelled chips for a model that is there already, decoded as it takes them."""

from collections.abc import Sequence

from schemas.artifact import ModelArtifact
from schemas.labels import LabelSet
from train.data.dataset import LabelledChips, keep_sky, load_labelled_chips
from train.data.examples import Examples, decode_chips
from train.data.labels import read_labelled_rows
from train.data.pixel_cache import PixelCache
from train.data.pixel_store import open_pixels
from train.shared_options import LabelledOptions


def match_chips(options: LabelledOptions, artifact: ModelArtifact) -> LabelledChips:
    """The labelled chips of the kind that a model takes.

    Raises:
        UsageError: chips or labels cannot be used.
    """
    others = tuple(artifact.training.get("other_labels", ()))
    label_set = LabelSet(artifact.label_set.names + others, artifact.label_set.sky)
    rows, _ = read_labelled_rows(options.labels, options.chips, label_set)
    media_type = artifact.preprocessing.media_type
    chips = load_labelled_chips(options.chips, rows, label_set, media_type)
    return keep_sky(chips, label_set) if others else chips


def decode_for(
    artifact: ModelArtifact, names: Sequence[str], chips: LabelledChips, cache: PixelCache | None
) -> Examples:
    """Chips decoded as a model takes them."""
    uris = [chips.uris[name] for name in names]
    with open_pixels(cache, artifact.preprocessing, uris) as store:
        return decode_chips(names, chips, artifact.label_set, artifact.preprocessing, store)
