"""The rows that `python -m train evaluate` writes about each chip: a Parquet file, not a table that
nights add to."""

from schemas.labels import LabelSet, score_column
from schemas.table import Column, Table

_CHIP = (
    Column("chip_uri", "string", "Absolute address of the chip's object.", required=True),
    Column("chip_id", "string", "File stem of the chip.", required=True),
    Column("image_name", "string", "Name of the chip in labels and splits.", required=True),
    Column(
        "trained_on",
        "bool",
        "Whether the model was trained on a chip of this name, by the artifact's split.csv; its "
        "scores are then better than on other chips.",
        required=True,
    ),
    Column("truth", "list<string>", "Labels that the chip is said to have.", required=True),
    Column("labels", "list<string>", "Labels that the model gives it.", required=True),
    Column(
        "label_quality",
        "float64",
        "How much the model believes in what is said about the chip: the pooled self-confidence "
        "of all labels; low values are suspected errors.",
        "ratio in [0, 1]",
        required=True,
    ),
)
_DIGESTS = (
    Column("model_digest", "string", "sha256 of what decides a score.", required=True),
    Column("thresholds_digest", "string", "sha256 of what chooses the labels.", required=True),
)


def predictions_table(label_set: LabelSet) -> Table:
    """The columns for a label set: for each label `truth_X`, `score_X` and `decided_X`."""
    of_labels: list[Column] = []
    for label in label_set.names:
        column = label_column(label)
        of_labels += [
            Column(
                f"truth_{column}",
                "bool",
                f"Whether the chip is said to have {label}.",
                required=True,
            ),
            Column(
                f"score_{column}", "float32", f"Score of {label}.", "ratio in [0, 1]", True, label
            ),
            Column(
                f"decided_{column}", "bool", f"Whether the model gives it {label}.", required=True
            ),
        ]
    return Table(
        name="predictions",
        description="The chips that an artifact was evaluated on, one row each.",
        version=1,
        columns=(*_CHIP, *of_labels, *_DIGESTS),
        compacted=False,
    )


def label_column(label: str) -> str:
    """What the names of a label's columns end in, as in `chip_scores`."""
    return score_column(label).removeprefix("score_")
