"""What all models of a study are trained on: one list of chips, one split, a digest of both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pipelines.storage.store import absolute_uri, list_objects, write_bytes
from schemas.artifact import MediaType
from schemas.labels import LabelSet
from train.data.dataset import load_labelled_chips
from train.data.label_files import Part
from train.data.labels import read_labelled_rows
from train.data.pixel_cache import decoder_digest
from train.data.splits import STUDY, assign_parts, check_parts, read_split_rule, split_csv
from train.study.models.plan import StudyModel, take_share
from train.study.options import StudyOptions


@dataclass(frozen=True)
class Material:
    """Labelled chips in their parts.

    Attributes:
        label_set: the labels.
        media_type: jpg or tif, of all chips.
        tags: labels of each chip, by image name.
        parts: image names of each part.
        digest: sha256 of names, labels, parts, of each chip's size and etag, and of the code that
            decodes: while it is the same, a model that was trained before still belongs to these
            chips.
        archive_digest: the same of all label rows with their scenes and all files, used or not,
            and of the media type.
    """

    label_set: LabelSet
    media_type: MediaType
    tags: Mapping[str, frozenset[str]]
    parts: Mapping[Part, tuple[str, ...]]
    digest: str
    archive_digest: str

    def positives(self, part: Part) -> dict[str, int]:
        """Chips of a part that carry each label."""
        held = [self.tags[name] for name in self.parts[part]]
        return {label: sum(label in tags for tags in held) for label in self.label_set.names}


def gather_material(options: StudyOptions) -> Material:
    """List, match and split the chips; nothing is decoded.

    Raises:
        UsageError: chips, labels or split cannot be used; see the functions of `train.data.dataset`
            and `train.data.label_files`.
        StorageError: a given file cannot be read.
    """
    rows, label_set = read_labelled_rows(options.labels, options.chips, options.label_set)
    rule = read_split_rule(options.labels, options.split or STUDY)
    chips = load_labelled_chips(options.chips, rows, label_set, options.media_type)
    parts = assign_parts(chips, label_set, rule, options.seed)
    check_parts({part: len(names) for part, names in parts.items()})
    versions = _versions(options.chips)
    used = {
        part: [[name, sorted(chips.tags[name]), versions[chips.uris[name]]] for name in names]
        for part, names in parts.items()
    }
    files = sorted([PurePosixPath(uri).name, *version] for uri, version in versions.items())
    listed_rows = [
        [row.name, row.media_type, sorted(row.tags), rule.scenes.get(row.name)] for row in rows
    ]
    kind = [label_set.to_dict(), chips.media_type, decoder_digest()]
    return Material(
        label_set=label_set,
        media_type=chips.media_type,
        tags=chips.tags,
        parts=parts,
        digest=_digest([*kind, used]),
        archive_digest=_digest([*kind, listed_rows, files]),
    )


def write_split(folder: Path, material: Material, model: StudyModel, seed: int) -> Path:
    """Write the split that a model is trained with; returns its path."""
    parts, path = dict(material.parts), folder / "split.csv"
    if model.training_share < 1:
        parts["train"] = take_share(parts["train"], model.training_share, seed)
        path = folder / f"split_{model.name}.csv"
    write_bytes(str(path), split_csv(parts).encode())
    return path


def _versions(chips: str) -> dict[str, list[Any]]:
    """Size and etag of each file, by address."""
    return {
        row["uri"]: [row["size_bytes"], row["etag"]]
        for table in list_objects(absolute_uri(chips))
        for row in table.to_pylist()
    }


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
