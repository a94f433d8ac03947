"""The comparison, top to bottom: artifacts and labelled chips in, their differences out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.artifacts.signing import TRUSTED_KEY
from pipelines.commands import CommandLine
from pipelines.errors import UsageError
from pipelines.flags import flag
from schemas.artifact import MediaType
from schemas.decisions import choose_labels
from schemas.labels import LabelSet
from train.artifact_chips import (
    OpenedArtifact,
    choose_part,
    decode_for,
    match_chips,
    open_checked,
    score,
    trained_names,
)
from train.compare._comparison import Comparison
from train.compare._output import write_comparison
from train.data.dataset import LabelledChips
from train.data.examples import truth_of
from train.data.label_files import named_twice, refuse
from train.data.pixel_cache import PixelCache, choose_cache
from train.judging.comparing import Judged, compare_models
from train.results import resolve_output
from train.shared_options import RESULTS, CacheOptions, LabelledOptions, PartOptions

_SHOWN = 5  # labels of each artifact in an error


@dataclass(frozen=True, kw_only=True)
class CompareOptions(CacheOptions, PartOptions, LabelledOptions):
    """The options of `python -m train compare`."""

    artifacts: tuple[str, ...] = flag(
        "The folders of two artifacts or more, local, gs:// or s3://. The others are compared "
        "with the first.",
        metavar="URI",
    )
    output: str = RESULTS()
    trusted_key: str | None = TRUSTED_KEY(default=None)


LINE = CommandLine(
    "train compare",
    CompareOptions,
    "Compare model artifacts on the same labelled chips: differences with intervals, and the "
    "chips on which they disagree.",
)


def compare_artifacts(options: CompareOptions) -> dict[str, Any]:
    """Measure artifacts on the same chips; print and write how they differ. Returns the summary.

    Only labels that all of them know are compared, on chips that all of them can decode.

    Raises:
        UsageError: an artifact, the chips or the labels cannot be used, or the artifacts have no
            label in common.
        StorageError: a file cannot be read, or the results cannot be written.
    """
    cache = choose_cache(options.pixel_cache, options.pixel_cache_gb)
    folder = resolve_output(options.output)
    opened = _open_all(options)
    labels = common_labels([each.description.label_set for each in opened.values()])
    matched = _match_all(options, list(opened.values()))
    names = _common_names(options, list(matched.values()))
    found = {name: _judge(each, labels, names, matched, cache) for name, each in opened.items()}
    kept = [n for n in names if all(n in places for places, _ in found.values())]
    if not kept:
        raise UsageError("--chips: there is no chip that all artifacts can decode")
    judged = {name: _select(*pair, kept) for name, pair in found.items()}
    first = next(iter(opened.values())).description
    chips = matched[first.preprocessing.media_type]
    truth = truth_of([chips.tags[name] for name in kept], LabelSet(labels))
    return write_comparison(
        folder,
        Comparison(
            names=tuple(kept),
            uris={name: chips.uris[name] for name in kept},
            truth=truth,
            labels=labels,
            artifacts=opened,
            judged=judged,
            differences=compare_models(judged, truth, labels),
            trained={name: len(trained_names(each) & set(kept)) for name, each in opened.items()},
            undecoded=len(names) - len(kept),
        ),
    )


def common_labels(label_sets: Sequence[LabelSet]) -> tuple[str, ...]:
    """The labels that all artifacts know, in the order of the first.

    Raises:
        UsageError: there are none.
    """
    first, *others = label_sets
    common = tuple(n for n in first.names if all(n in each.names for each in others))
    if not common:
        shown = "; ".join(", ".join(each.names[:_SHOWN]) for each in label_sets)
        raise UsageError(f"--artifacts have no label in common: {shown}")
    return common


def _open_all(options: CompareOptions) -> dict[str, OpenedArtifact]:
    """The artifacts by name: the last part of their addresses, if these differ."""
    opened = [open_checked("--artifacts", uri, options.trusted_key) for uri in options.artifacts]
    addresses = [each.address.rstrip("/") for each in opened]
    refuse(named_twice(addresses), "--artifacts names an artifact twice")
    if len(opened) < 2:
        raise UsageError("--artifacts: give two artifacts or more")
    short = [each.name for each in opened]
    names = addresses if named_twice(short) else short
    return dict(zip(names, opened, strict=True))


def _match_all(
    options: CompareOptions, opened: Sequence[OpenedArtifact]
) -> dict[MediaType, LabelledChips]:
    """The labelled chips by the media types that the artifacts take."""
    descriptions = [each.description for each in opened]
    kinds = {each.preprocessing.media_type: each for each in descriptions}
    return {kind: match_chips(options, each, *descriptions) for kind, each in kinds.items()}


def _common_names(options: CompareOptions, matched: Sequence[LabelledChips]) -> list[str]:
    """The chips to measure: those that are there in each media type, of the part asked for."""
    first, *others = matched
    common = [name for name in first.uris if all(name in each.uris for each in others)]
    if not common:
        kinds = " and ".join(each.media_type for each in matched)
        raise UsageError(
            f"--chips: the artifacts take {kinds}, and no chip is there as all of them"
        )
    parts = choose_part(options, common)
    return [name for name, part in parts.items() if part == (options.part or "test")]


def _judge(
    opened: OpenedArtifact,
    labels: Sequence[str],
    names: Sequence[str],
    matched: Mapping[MediaType, LabelledChips],
    cache: PixelCache | None,
) -> tuple[dict[str, int], Judged]:
    """The row of each chip that the artifact can decode, and what it says about these."""
    artifact = opened.description
    examples = decode_for(artifact, names, matched[artifact.preprocessing.media_type], cache)
    scores = score(opened, examples)
    chosen = choose_labels(scores, artifact.thresholds, artifact.label_set, artifact.sky_rule)
    columns = [artifact.label_set.names.index(label) for label in labels]
    rows = {name: row for row, name in enumerate(examples.names)}
    return rows, Judged(scores[:, columns], chosen[:, columns])


def _select(rows: Mapping[str, int], judged: Judged, names: Sequence[str]) -> Judged:
    """What is said about some chips, in their order."""
    kept = [rows[name] for name in names]
    return Judged(judged.scores[kept], judged.chosen[kept])
