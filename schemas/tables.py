"""The tables: the columns of each, how it is partitioned, published and maintained.

`TABLES` is the one registry; everything else loops over it. `schemas.render` turns the columns into
Arrow, Delta, BigQuery and SQL.
"""

from __future__ import annotations

from functools import cache

from schemas.alert_tables import ALERT_TABLES
from schemas.chip_columns import CHIP_COLUMNS, NO_DATA_SHARE, PLACED_CHIP_COLUMNS
from schemas.dating import DATING_COLUMNS, MODIFIED_AT
from schemas.labels import LabelSet
from schemas.place_tables import CHIP_PLACES, PLACES
from schemas.quarantine_reasons import QuarantineReason as QuarantineReason
from schemas.scene_columns import SCENE_BANDS, SCENE_COLUMNS
from schemas.table import Column, Table
from schemas.trust import TRUST_COLUMNS
from schemas.verdict_table import VERDICTS

_REASONS = "; ".join(f"{reason.value}: {reason.description}" for reason in QuarantineReason)

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
    "sha256 of what chooses the labels: the thresholds and the sky rule.",
    required=True,
)

CHIP_MANIFEST = Table(
    name="chip_manifest",
    description="The chips that a run scores; a row group is a unit of work.",
    version=3,
    columns=(
        *CHIP_COLUMNS,
        MODIFIED_AT,
        Column("shard_uri", "string", "Address of the tar that contains the chip, if any."),
        Column(
            "offset_bytes",
            "int64",
            "Where in that tar the chip begins; null if the tar itself is quarantined.",
            "bytes",
        ),
        *SCENE_COLUMNS,
    ),
    compacted=False,  # a file of each run, not a Delta table
)

QUARANTINE = Table(
    name="quarantine",
    description="Chips that a run could not score, each with its reason.",
    version=3,
    columns=(
        *PLACED_CHIP_COLUMNS,
        SCENE_BANDS,
        Column("reason", "string", f"One of a closed list: {_REASONS}.", required=True),
        Column("message", "string", "What was wrong with this chip.", required=True),
        _MODEL_DIGEST,
        Column(
            "quarantined_at", "timestamp", "When the chip was quarantined.", "UTC", required=True
        ),
        *_PARTITION_COLUMNS,
    ),
    partition_by=_PARTITION_BY,
    commit_order=1,
    external_name="all_quarantine",
    expires=True,
)

SCORE, REPLAY, RELABEL = "score", "replay", "relabel"
"""What `runs.kind` may be."""

GOOD, BAD = "good", "bad"
"""What `runs.verdict` may be, and null."""

PUBLISHED, WITHDRAWN, FAILED, HELD = "published", "withdrawn", "failed", "held"
"""What `runs.status` may be."""

RUNS = Table(
    name="runs",
    description="The scoring runs, one row each.",
    version=5,
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
            f"{PUBLISHED}: its rows are in the tables; {WITHDRAWN}: they were removed again; "
            f"{FAILED}: it has no rows; {HELD}: they are in staging until an operator decides.",
            required=True,
        ),
        Column("reason", "string", "Why the run failed, is held or was withdrawn; else null."),
        Column(
            "verdict",
            "string",
            f"{GOOD} or {BAD}: how the run compares with those before it; null if not judged.",
        ),
        Column("findings", "string", "JSON array: the checks behind the verdict."),
        Column("listed", "int64", "Chips found, each counted once.", "chips", required=True),
        Column(
            "skipped", "int64", "Chips that this model had finished before.", "chips", required=True
        ),
        Column("left_over", "int64", "Chips left to the next run.", "chips", required=True),
        Column("scored", "int64", "Chips with scores.", "chips", required=True),
        Column(
            "quarantined", "int64", "Chips quarantined, each with a reason.", "chips", required=True
        ),
        Column(
            "no_data",
            "int64",
            "Windows of scenes that were not scored because too much of them is no data; they are "
            "not counted as quarantined. Null if the run scored chips.",
            "chips",
        ),
        Column(
            "quarantined_by_reason", "string", "JSON object: reason to number of chips.", "chips"
        ),
        _MODEL_DIGEST,
        _THRESHOLDS_DIGEST,
        Column(
            "threats",
            "list<string>",
            "The labels that count as threats from this run on; null: as before.",
        ),
        Column("precision", "string", "Precision that the workers computed scores in."),
        Column("engine", "string", "What computed them: tensorflow or openvino."),
        Column("bytes_read", "int64", "Size of the chips that were read.", "bytes"),
        Column(
            "stage_seconds",
            "string",
            "JSON object: time for reading, decoding (all threads together), waiting for pixels, "
            "scoring and writing, summed over all workers.",
            "seconds",
        ),
        Column("versions", "string", "JSON object: package to version.", required=True),
        Column("options", "string", "JSON object: the options of the run.", required=True),
        Column("started_at", "timestamp", "When planning began.", "UTC", required=True),
        Column("planned_at", "timestamp", "When the manifest was written.", "UTC", required=True),
        Column("held_at", "timestamp", "When the run was held; null if never.", "UTC"),
        Column("published_at", "timestamp", "When the run was committed; null if never.", "UTC"),
        Column("commit_version", "int64", "Its commit: later is newer; else null.", "version"),
        Column(
            "plan_seconds", "float64", "Time for listing and planning.", "seconds", required=True
        ),
        Column(
            "score_seconds", "float64", "Time of scoring, without pauses.", "seconds", required=True
        ),
        *_PARTITION_COLUMNS,
    ),
    partition_by=_PARTITION_BY,
    commit_order=3,
    external_name="all_runs",
)

EXPIRED_CHIPS = Table(
    name="expired_chips",
    description="Chips whose rows were removed because of their age; they are not scored again.",
    version=1,
    columns=(
        *(column for column in CHIP_COLUMNS if column.name in ("chip_uri", "etag")),
        _MODEL_DIGEST,
        *_PARTITION_COLUMNS,
    ),
    partition_by=_PARTITION_BY,
)


CHIP_SCORES = Table(
    name="chip_scores",
    description="Scored chips: scores and the labels chosen from them, one row per chip and run; "
    "a relabelling has one for each picture (etag) of a chip.",
    version=4,
    columns=(
        *PLACED_CHIP_COLUMNS,
        *DATING_COLUMNS,
        NO_DATA_SHARE,
        SCENE_BANDS,
        Column("media_type", "string", "jpg, tif or png, from the bytes.", required=True),
        Column(
            "labels",
            "list<string>",
            "Labels whose score is at or over their threshold, in label order. "
            "May have no sky label, or two: each label is decided independently.",
            required=True,
        ),
        Column(
            "sky_label",
            "string",
            "The most likely label of the sky group; null if the label set has no such group.",
        ),
        _MODEL_DIGEST,
        _THRESHOLDS_DIGEST,
        Column("scored_at", "timestamp", "When the chip was scored.", "UTC", required=True),
        *_PARTITION_COLUMNS,
    ),
    partition_by=_PARTITION_BY,
    scores_after="media_type",
    commit_order=2,
    external_name="chip_scores",
    expires=True,
)

MODELS = Table(
    name="models",
    description="How far each label of each model can be trusted, one row per model, thresholds "
    "and label. The run is the first that was published with them.",
    version=2,
    columns=(_MODEL_DIGEST, _THRESHOLDS_DIGEST, *TRUST_COLUMNS, *_PARTITION_COLUMNS),
    partition_by=_PARTITION_BY,
    external_name="all_models",
)

TABLES = (
    *(CHIP_SCORES, QUARANTINE, RUNS, MODELS),
    *(PLACES, CHIP_PLACES),
    *(*ALERT_TABLES, VERDICTS),
    *(EXPIRED_CHIPS, CHIP_MANIFEST),
)
"""All tables."""

TABLES_BY_NAME = {table.name: table for table in TABLES}

SHOWN = tuple(table for table in TABLES if table.external_name)
"""The tables that questions see."""

OF_RUNS = tuple(table for table in SHOWN if table.partition_by)
"""Those of them that runs write; the others are made from these."""

READ_ORDER = tuple(table for table in TABLES if table.commit_order)
"""The tables of a run, in the order in which readers open them. `chip_scores` is the first: the
quarantined rows of each run in it are then in place already."""

COMMIT_ORDER = tuple(sorted(READ_ORDER, key=lambda table: table.commit_order))
"""The tables of a run, in the order in which its rows are committed."""


@cache
def chip_scores(label_set: LabelSet) -> Table:
    """The table of scored chips for a label set: one score column for each label."""
    return CHIP_SCORES.for_labels(label_set)
