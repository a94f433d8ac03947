"""What dates a picture: columns of its row, and where the time is from."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from schemas.table import Column


class SeenAtSource(StrEnum):
    """Where the time of a picture is from: a closed list, the best first."""

    def __new__(cls, value: str, description: str) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.description = description
        return member

    description: str

    GIVEN = "given", "the sidecar or the manifest says when it was taken"
    TIF_TAGS = "tif_tags", "the GeoTIFF's tags say when it was taken (never its file date)"
    MODIFIED_AT = "modified_at", "when its object was last written"
    SCORED_AT = "scored_at", "when it was scored for the first time"


MODIFIED_AT = Column("modified_at", "timestamp", "When the object was last written.", "UTC")

DATING_COLUMNS = (
    MODIFIED_AT,
    Column(
        "observed_at_source",
        "string",
        "Where observed_at is from; null without one, and in rows of earlier releases. "
        + "; ".join(
            f"{source.value}: {source.description}"
            for source in (SeenAtSource.GIVEN, SeenAtSource.TIF_TAGS)
        )
        + ".",
    ),
)
"""What dates the picture of a scored chip, next to `observed_at`."""

DATING_NAMES = tuple(column.name for column in DATING_COLUMNS)
"""Names of these columns."""
