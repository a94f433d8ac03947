"""A relabelling of some labels: the other labels of each row keep their thresholds.

Rows of one model may have been labelled with different thresholds. Each row keeps its own, so its
new `thresholds_digest` follows from its old one: rows of several become rows of several.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipelines.artifacts.threshold_files import Thresholds
from pipelines.errors import UsageError
from pipelines.maintenance.relabelling import read_rows
from pipelines.runs.models import known_model
from pipelines.storage import store
from pipelines.wording import count_of
from schemas.artifact import thresholds_digest
from schemas.decisions import Threshold
from schemas.tables import CHIP_SCORES
from schemas.trust import TRUST_COLUMNS, relabelled_rows

_DIGEST = pa.schema([("thresholds_digest", pa.string())])


@dataclass(frozen=True)
class KeptThresholds:
    """What becomes of the thresholds of the rows that are relabelled.

    Attributes:
        digests: old `thresholds_digest` to the new one; that of the most rows is the first.
        trust: rows of `models` for the new ones, each with its `thresholds_digest`.
    """

    digests: Mapping[str, str]
    trust: Sequence[Mapping[str, Any]]


def keep_thresholds(
    output: str, model_digest: str, manifest: pa.Table, given: Thresholds
) -> KeptThresholds:
    """The thresholds of the rows to relabel, with those that are given.

    Args:
        manifest: the rows, see `relabel_planning.MANIFEST`.
        given: thresholds of some of the model's labels.

    Raises:
        UsageError: the thresholds of a row are not known, sky labels are chosen by the highest
            score, or the model does not have a label.
        StorageError: a table cannot be read.
    """
    counted = _count_digests(output, manifest)
    known: defaultdict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in known_model(output, model_digest):
        known[row["thresholds_digest"]][row["label"]] = row
    digests: dict[str, str] = {}
    trust: dict[str, list[dict[str, Any]]] = {}
    for old, rows in counted.most_common():
        before = {label: row["threshold"] for label, row in known[old].items()}
        _check(old, rows, before, given.by_label)
        after = before | given.by_label
        digests[old] = thresholds_digest(after)
        trust[digests[old]] = _trust(known[old], after, digests[old])
    return KeptThresholds(digests, [row for rows in trust.values() for row in rows])


def would_change_nothing(
    output: str, model_digest: str, manifest: pa.Table, digest: str, kept: KeptThresholds | None
) -> bool:
    """Whether each row of the manifest has its new thresholds already, and `models` has them.

    Args:
        digest: the new `thresholds_digest` of each row, unless some labels are kept.

    Raises:
        StorageError: a table cannot be read.
    """
    if kept:
        return all(old == new for old, new in kept.digests.items())
    known = known_model(output, model_digest, digest)
    return bool(known) and all(old == digest for old, _ in _digests(output, manifest))


def _count_digests(output: str, manifest: pa.Table) -> Counter[str]:
    """Rows of the manifest by their `thresholds_digest`."""
    counted: Counter[str] = Counter()
    for digest, rows in _digests(output, manifest):
        counted[digest] += rows
    return counted


def _digests(output: str, manifest: pa.Table) -> Iterator[tuple[str, int]]:
    """Each `thresholds_digest` of some rows of the manifest, and how many of these have it."""
    for path, rows in zip(manifest["path"].to_pylist(), manifest["rows"], strict=True):
        uri = store.join_uri(output, CHIP_SCORES.name, path)
        for batch in read_rows(uri, rows.values.to_numpy(), _DIGEST):
            for found in batch["thresholds_digest"].value_counts().to_pylist():
                yield found["values"], found["counts"]


def _check(digest: str, rows: int, before: Mapping[str, Threshold], given: Collection[str]) -> None:
    which = f"of {count_of(rows, 'row')} with thresholds_digest {digest}"
    if thresholds_digest(before) != digest:
        if before and thresholds_digest(before, "argmax") == digest:
            raise UsageError(
                f"--thresholds names some labels only, but the sky labels {which} are those with "
                "the highest score: give the artifact.json that `train set_thresholds` makes"
            )
        raise UsageError(
            f"--thresholds names some labels only, and the other thresholds {which} are not in the "
            "table models: give a threshold for every label"
        )
    if unknown := sorted(set(given) - before.keys()):
        raise UsageError(
            f"--thresholds has labels that the model does not have: {', '.join(unknown)}"
        )


def _trust(
    known: Mapping[str, Mapping[str, Any]], after: Mapping[str, Threshold], digest: str
) -> list[dict[str, Any]]:
    """Rows of `models`: figures of labels whose threshold is the same stay."""
    columns = [column.name for column in TRUST_COLUMNS]
    changed = relabelled_rows([*known.values()], after)
    return [
        {"thresholds_digest": digest}
        | (
            {name: known[row["label"]].get(name) for name in columns}
            if known[row["label"]]["threshold"] == row["threshold"]
            else row
        )
        for row in changed
    ]
