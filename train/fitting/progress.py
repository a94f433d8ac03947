"""Where training stands after an epoch, and whether it has got better."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy.typing as npt

Monitor = Literal["val_loss", "val_map"]
MONITORS: tuple[Monitor, ...] = get_args(Monitor)
"""What may decide which epoch is best: measures of validation alone."""

Arrays = list[npt.NDArray[Any]]


@dataclass(frozen=True)
class Progress:
    """Where training stands after an epoch.

    Attributes:
        history: measure to one value an epoch.
        best_epoch: the epoch, from 1, whose weights are kept; 0 before there is one.
        best_weights: the weights of that epoch as the model gives them.
    """

    history: Mapping[str, list[float]] = field(default_factory=dict)
    best_epoch: int = 0
    best_weights: Arrays = field(default_factory=list)

    @property
    def epochs(self) -> int:
        """Epochs that are done."""
        return len(next(iter(self.history.values()), []))

    @property
    def improved(self) -> bool:
        """Whether the last epoch is the best."""
        return self.epochs > 0 and self.best_epoch == self.epochs

    def after(
        self, row: Mapping[str, float], monitor: Monitor, weights: Callable[[], Arrays]
    ) -> Progress:
        """Progress after one more epoch; of equally good epochs the first stays the best.

        Args:
            row: what was measured.
            weights: gives the weights, which are kept if the epoch is the best one.
        """
        history = {name: [*self.history.get(name, []), value] for name, value in row.items()}
        sign = -1 if monitor == "val_loss" else 1
        goodness = [sign * value for value in history[monitor]]
        if self.best_epoch and goodness[-1] <= goodness[self.best_epoch - 1]:
            return Progress(history, self.best_epoch, self.best_weights)
        return Progress(history, len(goodness), weights())
