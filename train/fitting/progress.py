"""The state of a training after an epoch, and which epoch is the best."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy.typing as npt

Monitor = Literal["val_loss", "val_map"]
"""Validation measures that may decide which epoch is the best."""

Arrays = list[npt.NDArray[Any]]


@dataclass(frozen=True)
class Progress:
    """The state of a training after an epoch.

    Attributes:
        history: by measure, one value per epoch.
        best_epoch: the epoch, from 1, whose weights are kept; 0 before the first.
        best_weights: the weights of that epoch, as the model returns them.
    """

    history: Mapping[str, list[float]] = field(default_factory=dict)
    best_epoch: int = 0
    best_weights: Arrays = field(default_factory=list)

    @property
    def epochs(self) -> int:
        """Number of finished epochs."""
        return len(next(iter(self.history.values()), []))

    @property
    def improved(self) -> bool:
        """Whether the last epoch is the best."""
        return self.epochs > 0 and self.best_epoch == self.epochs

    def after(
        self, row: Mapping[str, float], monitor: Monitor, weights: Callable[[], Arrays]
    ) -> Progress:
        """The state after one more epoch; of equally good epochs the first stays the best.

        Args:
            row: the measures of the epoch.
            weights: returns the weights; called if the epoch is the best one.
        """
        history = {name: [*self.history.get(name, []), value] for name, value in row.items()}
        sign = -1 if monitor == "val_loss" else 1
        goodness = [sign * value for value in history[monitor]]
        if self.best_epoch and goodness[-1] <= goodness[self.best_epoch - 1]:
            return Progress(history, self.best_epoch, self.best_weights)
        return Progress(history, len(goodness), weights())
