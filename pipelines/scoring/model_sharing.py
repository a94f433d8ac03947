"""One model for several processes of a machine, served by the one that loaded it.

Beam's `multi_process_shared`: the first process loads, the others send it their pixels over
loopback. That costs some 15 microseconds a kilobyte, and the model's own process must not die.
Whoever may log in to the machine can reach the port: not for machines shared with strangers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
from apache_beam.utils.multi_process_shared import MultiProcessShared

from pipelines.scoring.classifier import Classifier


class _Traits(NamedTuple):
    labels: int
    precision: str
    batch_size: int
    calls_in_flight: int


class _Served:
    """What the other processes may call: methods alone can be called from there."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier

    def traits(self) -> _Traits:
        """What is known of the model before it is called."""
        model = self._classifier
        return _Traits(model.labels, model.precision, model.batch_size, model.calls_in_flight)

    def score(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """See `Classifier.score`."""
        return self._classifier.score(pixels)


class ServedClassifier:
    """Stands in for a `Classifier` that may be another process's."""

    def __init__(self, served: Any) -> None:
        self._served = served
        traits = served.traits()
        self.labels, self.precision = traits.labels, traits.precision
        self.batch_size, self.calls_in_flight = traits.batch_size, traits.calls_in_flight

    def score(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """See `Classifier.score`."""
        return cast("npt.NDArray[np.float32]", self._served.score(pixels))


def share_classifier(load: Callable[[], Classifier], name: str) -> Classifier:
    """The model of that name on this machine; loaded here where no process has done so.

    Args:
        name: of one start of a run: a model of an earlier one may have died with its process.
    """
    shared = MultiProcessShared(lambda: _Served(load()), f"forest-chips-model-{name}")
    return cast(Classifier, ServedClassifier(shared.acquire()))
