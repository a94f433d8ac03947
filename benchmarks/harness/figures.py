"""What was measured: every figure under a stable name, with all its repeats."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field


@dataclass
class Figures:
    """Measured values by name.

    Attributes:
        values: name to the value of each repeat, in the order in which they were measured.
        units: name to unit.
        notes: name to text, such as why something was left out.
    """

    values: dict[str, list[float]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, value: float, unit: str) -> None:
        """Add one repeat of a figure."""
        self.values.setdefault(name, []).append(float(value))
        self.units[name] = unit

    def has(self, *names: str) -> bool:
        """Whether all of these were measured."""
        return all(name in self.values for name in names)

    def median(self, name: str) -> float:
        """The middle of the repeats.

        Raises:
            KeyError: it was not measured.
        """
        return statistics.median(self.values[name])

    def spread(self, name: str) -> float:
        """Largest less smallest repeat, as a share of the median; 0 for a single one."""
        repeats = self.values[name]
        middle = abs(self.median(name))
        return (max(repeats) - min(repeats)) / middle if middle else 0.0

    def ratio(self, above: str, below: str) -> float:
        """One figure over another: the median of the ratios of repeats made one after the other,
        so that a slower machine affects both; the ratio of the medians if their numbers of
        repeats differ."""
        tops, bottoms = self.values[above], self.values[below]
        if len(tops) != len(bottoms):
            return self.median(above) / self.median(below)
        return statistics.median(a / b for a, b in zip(tops, bottoms, strict=True))

    def best(self, names: list[str]) -> str | None:
        """The name with the highest median among those that were measured."""
        measured = [name for name in names if name in self.values]
        return max(measured, key=self.median, default=None)
