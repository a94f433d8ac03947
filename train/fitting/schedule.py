"""The optimiser: Adam, its rate by step and by layer, and the moving average of the weights."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipelines.flags import Number, flag, ratio
from train.networks.halvings import count_halvings

Decay = Literal["constant", "cosine"]

_WARMUP_START = 0.1  # the warm-up starts at this share of the rate: 0 would waste the first step
_COSINE_END = 0.01  # the decay ends at this share of the rate
_PIXEL_AXES = 4  # chips, rows, columns, channels


@dataclass(frozen=True)
class Schedule:
    """How the learning rate and the weights change."""

    decay: Decay = flag(
        "How the learning rate changes. cosine: down to a hundredth over all epochs "
        "(Loshchilov and Hutter 2017, without restarts).",
        name="schedule",
        default="constant",
    )
    warmup_epochs: float = flag(
        "Increase the learning rate linearly over this many epochs first (Goyal et al. 2017). "
        "Default: 0.",
        Number(float, 0, sys.float_info.max),
        metavar="N",
        default=0.0,
    )
    layer_decay: float = flag(
        "Multiply the learning rate by this from each block of layers on pixels of one size to the "
        "block below it, and from the layers above the blocks to the highest block (Howard and "
        "Ruder 2018).",
        Number(float, 0.01, 1),
        default=1.0,
    )
    weight_decay: float = flag(
        "The decoupled weight decay of Adam (Loshchilov and Hutter 2019). Default: 0.",
        ratio,
        metavar="X",
        default=0.0,
    )
    ema: float = flag(
        "The momentum of a moving average of the weights (Polyak and Juditsky 1992), which is "
        "then validated and stored. Default: 0, no average.",
        Number(float, 0, 0.99999),
        default=0.0,
    )


def make_optimizer(
    model: Any, rate: float, steps_per_epoch: int, epochs: int, options: Schedule
) -> Any:
    """Adam as the options say, built for the model's weights."""
    factors = rate_factors(_blocks(model), options.layer_decay)
    optimizer = _layerwise_adam(factors)(
        learning_rate=rate_schedule(rate, steps_per_epoch, epochs, options),
        weight_decay=options.weight_decay or None,
        use_ema=options.ema > 0,
        ema_momentum=options.ema or 0.99,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    optimizer.build(model.trainable_variables)
    return optimizer


def rate_schedule(rate: float, steps_per_epoch: int, epochs: int, options: Schedule) -> Any:
    """The rate as a function of the step."""
    import keras

    warmup = round(options.warmup_epochs * steps_per_epoch)
    if options.decay == "constant" and not warmup:
        return rate
    after = max(1, epochs * steps_per_epoch - warmup)
    end = _COSINE_END if options.decay == "cosine" else 1.0
    if not warmup:
        return keras.optimizers.schedules.CosineDecay(rate, after, alpha=end)
    return keras.optimizers.schedules.CosineDecay(
        rate * _WARMUP_START, after, alpha=end, warmup_target=rate, warmup_steps=warmup
    )


def rate_factors(blocks: Sequence[int | None], layer_decay: float) -> list[float]:
    """Each weight's factor of the rate, by its block: higher ones are nearer to the scores.

    Weights above the blocks (None) have 1, the highest block has `layer_decay`, and each block
    below is multiplied by it again.

    >>> rate_factors([0, 0, 1, None], 0.5)
    [0.25, 0.25, 0.5, 1.0]
    """
    above = max((block for block in blocks if block is not None), default=-1) + 1
    return [1.0 if block is None else layer_decay ** (above - block) for block in blocks]


def _blocks(model: Any) -> list[int | None]:
    """The block of each trainable weight: how often pixels were halved before it. None for weights
    of layers that see no pixels any more."""
    halvings = count_halvings(model)
    known = {
        id(weight): halvings[layer.name] if len(layer.output.shape) == _PIXEL_AXES else None
        for layer in model.layers
        for weight in layer.trainable_variables
    }
    return [known[id(weight)] for weight in model.trainable_variables]


def _layerwise_adam(factors: Sequence[float]) -> Any:
    import keras

    class LayerwiseAdam(keras.optimizers.Adam):  # type: ignore[misc]
        """Adam with a rate for each weight: scaling gradients would not change its steps.

        Attributes:
            factors: of the rate of each weight.
        """

        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.factors = factors

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            factor = factors[self._get_variable_index(variable)]
            super().update_step(gradient, variable, learning_rate * factor)

    return LayerwiseAdam
