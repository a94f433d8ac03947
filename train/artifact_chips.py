"""Labelled chips for models that are there already: opened, matched, decoded and scored."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipelines.artifacts.loading import load_model
from pipelines.artifacts.opening import only_keras, open_artifact
from pipelines.errors import StorageError, UsageError, as_usage_error
from pipelines.storage.store import absolute_uri, is_remote
from schemas.artifact import ArtifactError, ModelArtifact
from schemas.labels import LabelSet, LabelSetError
from train.artifact.file_names import SPLIT_FILE
from train.data.dataset import LabelledChips, keep_sky, load_labelled_chips
from train.data.examples import Examples, decode_chips
from train.data.label_files import Part, read_split
from train.data.labels import read_labelled_rows
from train.data.pixel_cache import PixelCache
from train.data.pixel_store import open_pixels
from train.judging.measuring import Scores, predict_scores
from train.shared_options import LabelledOptions, PartOptions


@dataclass(frozen=True)
class OpenedArtifact:
    """An artifact that was checked.

    Attributes:
        address: absolute, as it was given.
        folder: local folder with its files, at least the Keras model and the split.
        description: what `artifact.json` says.
    """

    address: str
    folder: Path
    description: ModelArtifact

    @property
    def name(self) -> str:
        """The last part of its address."""
        return PurePosixPath(self.address).name


def open_checked(flag: str, uri: str, trusted_key: str | None) -> OpenedArtifact:
    """Open the artifact that a flag names.

    Raises:
        UsageError: it cannot be read, does not fit together, or is not signed as asked.
    """
    with as_usage_error(flag, (UsageError, ArtifactError, StorageError)):
        address = absolute_uri(uri)
        wanted = _model_and_split if is_remote(address) else None  # of a local one all are checked
        return OpenedArtifact(address, *open_artifact(address, "", wanted, trusted_key))


def match_chips(
    options: LabelledOptions, artifact: ModelArtifact, *others: ModelArtifact
) -> LabelledChips:
    """The labelled chips of the kind that a model takes.

    Args:
        others: further models, whose labels the rows may have, too.

    Raises:
        UsageError: chips or labels cannot be used.
    """
    label_set = _known_labels((artifact, *others))
    rows, _ = read_labelled_rows(options.labels, options.chips, label_set)
    chips = load_labelled_chips(options.chips, rows, label_set, artifact.preprocessing.media_type)
    only_sky = any(a.training.get("other_labels") for a in (artifact, *others))
    return keep_sky(chips, label_set) if only_sky else chips


def choose_part(options: PartOptions, names: Sequence[str]) -> dict[str, Part]:
    """The part of each chip; without a split they are all in test.

    Raises:
        UsageError: a part is asked for without a split, or has no chip.
    """
    if options.split is None:
        if options.part:
            raise UsageError(f"--part {options.part} needs --split, which defines it")
        return dict.fromkeys(names, "test")
    split = read_split(options.split)
    parts = {name: split[name] for name in names if name in split}
    if (wanted := options.part or "test") not in parts.values():
        raise UsageError(f"--split has no chip in its part {wanted}; see --part")
    return parts


def trained_names(artifact: OpenedArtifact) -> frozenset[str]:
    """The names of the chips that the model was fitted to, by its split.csv."""
    if SPLIT_FILE not in artifact.description.files:
        return frozenset()
    split = read_split(str(artifact.folder / SPLIT_FILE))
    return frozenset(name for name, part in split.items() if part == "train")


def decode_for(
    artifact: ModelArtifact, names: Sequence[str], chips: LabelledChips, cache: PixelCache | None
) -> Examples:
    """Chips decoded as a model takes them."""
    uris = [chips.uris[name] for name in names]
    with open_pixels(cache, artifact.preprocessing, uris) as store:
        return decode_chips(names, chips, artifact.label_set, artifact.preprocessing, store)


def score(artifact: OpenedArtifact, examples: Examples) -> Scores:
    """What a model says about decoded chips, `float32 [n, labels]`.

    Raises:
        UsageError: there are none.
    """
    if not examples.names:
        raise UsageError(
            f"none of the chips can be decoded with the preprocessing of {artifact.name}"
        )
    return predict_scores(load_model(artifact.folder, artifact.description), examples.pixels)


def _model_and_split(artifact: ModelArtifact) -> Sequence[str]:
    """The names of the files that are fetched of a remote artifact."""
    return (*only_keras(artifact), *({SPLIT_FILE} & set(artifact.files)))


def _known_labels(artifacts: Sequence[ModelArtifact]) -> LabelSet:
    """All labels that a row may have: those of the models, and others of their training rows."""
    names = dict.fromkeys(
        name
        for each in artifacts
        for name in (*each.label_set.names, *each.training.get("other_labels", ()))
    )
    sky = dict.fromkeys(name for each in artifacts for name in each.label_set.sky)
    with as_usage_error("the artifacts' labels", (LabelSetError,)):
        return LabelSet(tuple(names), tuple(sky))
