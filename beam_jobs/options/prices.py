"""The price table of the user: what a worker costs per hour, and how fast it is.

csv with a header: `worker_type`, `price_per_hour`, one of `speed` (chips per second, as a multiple
of this machine's) or `chips_per_second` (as measured there), and, if not 1, `workers`.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.errors import StorageError, UsageError, as_usage_error
from pipelines.storage import store

_NEEDED = ("worker_type", "price_per_hour")
_RATES = ("speed", "chips_per_second")
_KNOWN = (*_NEEDED, *_RATES, "workers")


@dataclass(frozen=True)
class WorkerType:
    """A row of the table.

    Attributes:
        name: the user's name for it.
        price_per_hour: of one worker, in the user's currency; None if unknown.
        workers: how many work at the same time.
        speed: chips per second of one worker, as a multiple of this machine's.
        chips_per_second: of one worker, as measured; if over 0 it is used instead of speed.
    """

    name: str
    price_per_hour: float | None
    workers: int = 1
    speed: float = 1.0
    chips_per_second: float = 0.0

    def rate(self, here: float) -> float:
        """Chips per second of all workers, if this machine scores `here` chips per second."""
        return self.workers * (self.chips_per_second or self.speed * here)


THIS_MACHINE = WorkerType("this machine", None)
"""The only worker type without a price table."""


def read_prices(uri: str) -> tuple[WorkerType, ...]:
    """The worker types of a table.

    Raises:
        UsageError: it is missing or not such a table; names the line.
    """
    where = f"--prices {uri!r}"
    with as_usage_error(where, (StorageError, UnicodeDecodeError)):
        text = store.read_bytes(uri).decode("utf-8-sig")
    reader = csv.DictReader(io.StringIO(text), restkey="", strict=True)
    _check_header(reader.fieldnames or [], where)
    try:
        rows = [_worker_type(row, f"{where}, line {reader.line_num}") for row in reader]
    except csv.Error as error:
        raise UsageError(f"{where} is not a csv: {error}") from error
    if not rows:
        raise UsageError(f"{where} names no worker type")
    return tuple(rows)


def _check_header(names: Sequence[str], where: str) -> None:
    missing = [name for name in _NEEDED if name not in names]
    if missing or not set(names).intersection(_RATES):
        raise UsageError(
            f"{where} needs the columns {', '.join(_NEEDED)} and {' or '.join(_RATES)}; it has: "
            f"{', '.join(names) or 'none'}"
        )
    if unknown := [name for name in names if name not in _KNOWN]:
        raise UsageError(f"{where} has unknown columns {unknown}; known: {', '.join(_KNOWN)}")


def _worker_type(row: Mapping[str, str], where: str) -> WorkerType:
    if "" in row or None in row.values() or not row["worker_type"]:
        raise UsageError(f"{where}: it needs a value in each column")
    workers = _number(row, "workers", where) if row.get("workers") else 1.0
    if workers != int(workers):
        raise UsageError(f"{where}: workers must be a whole number, not {workers}")
    measured = _number(row, "chips_per_second", where) if row.get("chips_per_second") else 0.0
    speed = 1.0 if measured else _number(row, "speed", where)
    price = _number(row, "price_per_hour", where, least=0.0)
    return WorkerType(row["worker_type"], price, int(workers), speed, measured)


def _number(row: Mapping[str, str], name: str, where: str, least: float | None = None) -> float:
    """A number over 0; `least` itself is accepted too."""
    text = row.get(name, "")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (value > 0 or value == least) or math.isinf(value):
        raise UsageError(f"{where}: {name} must be a number over 0, not {text!r}")
    return value
