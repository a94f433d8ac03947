"""The tables: each column's name, type, unit and meaning, said once.

`schemas.render` turns them into Arrow, Delta, BigQuery and SQL; nothing else describes a column.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Literal, Self

from schemas.labels import LabelSet, score_column

ColumnType = Literal["string", "int64", "float32", "float64", "date", "timestamp", "list<string>"]


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: letters, digits and underscores.
        type: a name that every rendering knows; timestamps are UTC in microseconds.
        description: what the values mean, for a stranger.
        unit: the unit of a number ("" where it has none).
        required: whether every row must have a value.
        label: the label that a score column belongs to ("" for every other column).
    """

    name: str
    type: ColumnType
    description: str
    unit: str = ""
    required: bool = False
    label: str = ""


@dataclass(frozen=True)
class Table:
    """A table: its columns in order; the partition columns are the last ones."""

    name: str
    description: str
    version: int
    columns: tuple[Column, ...]
    partition_by: tuple[str, ...] = ()

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of all columns, partition columns included."""
        return tuple(column.name for column in self.columns)

    @property
    def file_columns(self) -> tuple[Column, ...]:
        """The columns that stand in the files; partition values stand in the folder names."""
        return tuple(c for c in self.columns if c.name not in self.partition_by)


class QuarantineReason(StrEnum):
    """Why a chip was not scored: the closed list. A lasting reason lies in the bytes or the
    artifact and would hold again; a passing one may be gone at the next try."""

    def __new__(cls, value: str, lasting: bool, description: str) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.lasting = lasting
        member.description = description
        return member

    lasting: bool
    description: str

    EMPTY = "empty", True, "the object has no bytes"
    TRUNCATED = "truncated", True, "the picture ends before its data do"
    NOT_AN_IMAGE = "not_an_image", True, "the bytes are no picture, whatever the name says"
    UNSUPPORTED_MEDIA_TYPE = (
        "unsupported_media_type",
        True,
        "a picture, but neither JPEG nor GeoTIFF (PNG, GIF, WebP, BMP ...)",
    )
    MEDIA_TYPE = "media_type", True, "a JPEG for a model of GeoTIFFs, or the other way round"
    WRONG_BANDS = (
        "wrong_bands",
        True,
        "not the bands or the sample type that the model reads (colour JPEG; 4 x uint16 GeoTIFF)",
    )
    WRONG_SIZE = "wrong_size", True, "a side shorter than the artifact accepts"
    TOO_LARGE = "too_large", True, "a side longer, or more bytes, than the artifact accepts"
    DECODE_ERROR = "decode_error", True, "the decoder gave up for another reason"
    NON_FINITE_SCORE = "non_finite_score", True, "the model's scores are not all finite numbers"
    BAD_SHARD = "bad_shard", True, "a tar of chips that is none, is compressed, or breaks off"
    UNREADABLE = "unreadable", False, "the object could not be fetched from storage"
    OUT_OF_MEMORY = "out_of_memory", False, "the device had no memory even for this chip alone"


def reasons_text() -> str:
    """The closed list of quarantine reasons as one sentence for a column's description."""
    return "; ".join(f"{reason.value}: {reason.description}" for reason in QuarantineReason)


CHIP_COLUMNS = (
    Column("chip_uri", "string", "Absolute address of the chip's object.", required=True),
    Column("chip_id", "string", "File stem of the chip.", required=True),
    Column("scene_id", "string", "Scene that the chip was cut from, where known."),
    Column("observed_at", "timestamp", "When the satellite took the scene, where known.", "UTC"),
    Column("lon_min", "float64", "Western edge of the chip (WGS 84), where known.", "degrees"),
    Column("lat_min", "float64", "Southern edge of the chip (WGS 84), where known.", "degrees"),
    Column("lon_max", "float64", "Eastern edge of the chip (WGS 84), where known.", "degrees"),
    Column("lat_max", "float64", "Northern edge of the chip (WGS 84), where known.", "degrees"),
    Column("etag", "string", "The store's version tag of the object when it was listed."),
    Column("size_bytes", "int64", "Size of the object when it was listed.", "bytes"),
)
"""What is known of a chip before it is scored, in every table that has chips."""

BOUNDS = ("lon_min", "lat_min", "lon_max", "lat_max")
"""The bounding box columns, west, south, east, north."""

_PARTITION_COLUMNS = (
    Column("run_date", "date", "Night that the run belongs to.", "UTC date", required=True),
    Column("run_id", "string", "The run that made the row.", required=True),
)
_PARTITION_BY = ("run_date", "run_id")

_MODEL_DIGEST = Column(
    "model_digest",
    "string",
    "sha256 of what decides a score: weights, architecture, label order, preprocessing.",
    required=True,
)
_THRESHOLDS_DIGEST = Column(
    "thresholds_digest",
    "string",
    "sha256 of what chose the labels: the thresholds and the sky rule.",
    required=True,
)

CHIP_MANIFEST = Table(
    name="chip_manifest",
    description="The chips that a run is to score; a row group is a unit of work.",
    version=1,
    columns=(
        *CHIP_COLUMNS,
        Column("modified_at", "timestamp", "When the object was last written.", "UTC"),
        Column("shard_uri", "string", "Address of the tar that the chip lies in, if it does."),
        Column(
            "offset_bytes",
            "int64",
            "Where in that tar the chip begins; null where the tar itself is to be given up.",
            "bytes",
        ),
    ),
)

QUARANTINE = Table(
    name="quarantine",
    description="Chips that a run could not score, each with its reason.",
    version=1,
    columns=(
        *CHIP_COLUMNS,
        Column("reason", "string", f"One of a closed list: {reasons_text()}.", required=True),
        Column("message", "string", "What was wrong with this chip.", required=True),
        _MODEL_DIGEST,
        Column("quarantined_at", "timestamp", "When the chip was given up.", "UTC", required=True),
        *_PARTITION_COLUMNS,
    ),
    partition_by=_PARTITION_BY,
)

SCORE, REPLAY, RELABEL = "score", "replay", "relabel"
"""What `runs.kind` may be."""

GOOD, BAD = "good", "bad"
"""What `runs.verdict` may be, and null."""

PUBLISHED, WITHDRAWN, FAILED, HELD = "published", "withdrawn", "failed", "held"
"""What `runs.status` may be."""

RUNS = Table(
    name="runs",
    description="The scoring runs, a row each.",
    version=2,
    columns=(
        Column(
            "kind",
            "string",
            f"{SCORE}: chips of an archive; {REPLAY}: quarantined chips tried again; "
            f"{RELABEL}: new thresholds on stored scores.",
            required=True,
        ),
        Column(
            "status",
            "string",
            f"{PUBLISHED}: its rows are in the tables; {WITHDRAWN}: they were taken back; "
            f"{FAILED}: it has none; {HELD}: they wait in staging for somebody to look at them.",
            required=True,
        ),
        Column("reason", "string", "Why the run failed or is held; null for the others."),
        Column(
            "verdict",
            "string",
            f"{GOOD} or {BAD}: how the run compares with those before it; null where not judged.",
        ),
        Column("findings", "string", "JSON array: what the verdict was reached by."),
        Column("listed", "int64", "Chips found, each counted once.", "chips", required=True),
        Column(
            "skipped", "int64", "Chips that this model had done before.", "chips", required=True
        ),
        Column("left_over", "int64", "Chips left to the next run.", "chips", required=True),
        Column("scored", "int64", "Chips with scores.", "chips", required=True),
        Column("quarantined", "int64", "Chips given up with a reason.", "chips", required=True),
        Column(
            "quarantined_by_reason", "string", "JSON object: reason to number of chips.", "chips"
        ),
        _MODEL_DIGEST,
        _THRESHOLDS_DIGEST,
        Column("precision", "string", "Precision that the workers computed scores in."),
        Column("bytes_read", "int64", "What was fetched of the chips.", "bytes"),
        Column(
            "stage_seconds",
            "string",
            "JSON object: what reading, decoding (all threads together), waiting for pixels, "
            "scoring and writing have cost, all workers together.",
            "seconds",
        ),
        Column("versions", "string", "JSON object: package to version.", required=True),
        Column("options", "string", "JSON object: the options of the run.", required=True),
        Column("started_at", "timestamp", "When planning began.", "UTC", required=True),
        Column("planned_at", "timestamp", "When the manifest was written.", "UTC", required=True),
        Column("published_at", "timestamp", "When the run was committed; null if never.", "UTC"),
        Column("plan_seconds", "float64", "Listing and planning.", "seconds", required=True),
        Column("score_seconds", "float64", "From the plan to the end.", "seconds", required=True),
        *_PARTITION_COLUMNS,
    ),
    partition_by=_PARTITION_BY,
)


EXPIRED_CHIPS = Table(
    name="expired_chips",
    description="Chips whose rows were removed for their age, and need not be scored again.",
    version=1,
    columns=(
        *(column for column in CHIP_COLUMNS if column.name in ("chip_uri", "etag")),
        _MODEL_DIGEST,
        *_PARTITION_COLUMNS,
    ),
    partition_by=_PARTITION_BY,
)


@cache
def chip_scores(label_set: LabelSet) -> Table:
    """The table of scored chips for a label set: one score column for each label."""
    return Table(
        name="chip_scores",
        description="Scored chips: scores and the labels chosen from them, a row a chip and run; "
        "a relabelling has one for each picture (etag) of a chip.",
        version=1,
        columns=(
            *CHIP_COLUMNS,
            Column("media_type", "string", "jpg or tif, from the bytes.", required=True),
            *_score_columns(label_set),
            Column(
                "labels",
                "list<string>",
                "Labels whose score is at or over their threshold, in label order. "
                "May hold no sky label, or two: each label is decided alone.",
                required=True,
            ),
            Column(
                "sky_label",
                "string",
                "The likeliest label of the sky group; null where the label set has none.",
            ),
            _MODEL_DIGEST,
            _THRESHOLDS_DIGEST,
            Column("scored_at", "timestamp", "When the chip was scored.", "UTC", required=True),
            *_PARTITION_COLUMNS,
        ),
        partition_by=_PARTITION_BY,
    )


def _score_columns(label_set: LabelSet) -> Iterable[Column]:
    for name in label_set.names:
        yield Column(
            score_column(name),
            "float32",
            f"Score of the label {name!r}: the model's probability that it holds.",
            "probability in [0, 1]",
            required=True,
            label=name,
        )
