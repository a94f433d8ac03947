"""Elements of the scoring graph: a unit of chips, then its batches.

An element is many chips, since Beam spends 10 to 100 microseconds of Python on each element in
each stage. None of these elements may cross a shuffle: their coder knows their size but refuses to
encode them, so a graph that would send pixels fails at once instead of being slow.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from apache_beam import coders

from schemas.chip_columns import CHIP_NAMES
from schemas.render import file_schema
from schemas.scene_columns import SCENE_BANDS
from schemas.tables import QUARANTINE

_REJECTED = (*CHIP_NAMES, SCENE_BANDS.name, "reason", "message")
REJECTED = pa.schema([file_schema(QUARANTINE).field(name) for name in _REJECTED])
"""Schema of rejected chips on their way to quarantine."""


@dataclass(frozen=True)
class Spent:
    """Bytes and time that chips took; can be added up over batches and units.

    Attributes:
        bytes_read: bytes fetched from storage.
        read_ms, decode_ms: milliseconds of all reading threads together.
        wait_ms: milliseconds that the model waited for pixels: 0 if the model is the bottleneck.
        score_ms: milliseconds of the model's calls.
        stage_ms: milliseconds of writing staged files.
    """

    bytes_read: int = 0
    read_ms: float = 0.0
    decode_ms: float = 0.0
    wait_ms: float = 0.0
    score_ms: float = 0.0
    stage_ms: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        mine, theirs = astuple(self), astuple(other)
        return Spent(*(a + b for a, b in zip(mine, theirs, strict=True)))


NOTHING_SPENT = Spent()


@dataclass(frozen=True)
class Unit:
    """A unit of work: the chips of one row group of the manifest.

    Attributes:
        number: position of the row group in the manifest; names the unit's staged files.
        chips: rows in the CHIP_MANIFEST schema.
    """

    number: int
    chips: pa.Table


@dataclass(frozen=True)
class ChipBatch:
    """Decoded chips of a unit.

    Attributes:
        unit: number of the unit.
        last: whether the unit ends with this batch.
        chips: n rows of chip columns and of what dates them (CHIP_COLUMNS, DATING_COLUMNS).
        pixels: `uint8 [n, S, S, bands]`, row i belongs to row i of `chips`.
        rejected: the batch's chips that could not be read, in the REJECTED schema.
        spent: bytes and time of reading and decoding.
    """

    unit: int
    last: bool
    chips: pa.Table
    pixels: npt.NDArray[np.uint8]
    rejected: pa.Table
    spent: Spent = NOTHING_SPENT


@dataclass(frozen=True)
class ScoredBatch:
    """A batch with scores instead of pixels.

    Attributes:
        scores: `float32 [n, labels]` in [0, 1], row i belongs to row i of `chips`.
        precision: the precision of the model's computation.
        engine: what computed it.
    """

    unit: int
    last: bool
    chips: pa.Table
    scores: npt.NDArray[np.float32]
    rejected: pa.Table
    precision: str
    engine: str = ""
    spent: Spent = NOTHING_SPENT


@dataclass(frozen=True)
class LabelledBatch:
    """A batch as rows of the tables.

    Attributes:
        rows: scored chips, in the file schema of CHIP_SCORES.
        quarantine: rejected chips, in the file schema of QUARANTINE.
    """

    unit: int
    last: bool
    rows: pa.Table
    quarantine: pa.Table
    precision: str
    engine: str = ""
    spent: Spent = NOTHING_SPENT


class FusedOnlyCoder(coders.Coder):
    """Returns an element's size, and never encodes it."""

    def estimate_size(self, value: Any) -> int:
        """Size of the element's tables and arrays in memory; Beam samples it now and then."""
        return sum(getattr(part, "nbytes", 0) for part in vars(value).values())

    def encode(self, value: Any) -> NoReturn:
        """Refuse: producer and consumer do not run in one worker.

        Raises:
            TypeError: always.
        """
        raise TypeError(
            f"a {type(value).__name__} must not cross a shuffle or leave its worker: "
            "read, decode, score, label and stage have to run fused"
        )

    decode = encode

    def is_deterministic(self) -> bool:
        """Elements are never keys."""
        return False


for _element in (Unit, ChipBatch, ScoredBatch, LabelledBatch):
    coders.registry.register_coder(_element, FusedOnlyCoder)
