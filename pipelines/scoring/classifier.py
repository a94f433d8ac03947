"""The model on a worker: one engine computes it, chosen on the machine that computes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.scoring.devices import DeviceOutOfMemory, MemoryLimit, has_gpu
from pipelines.scoring.engines import EngineName, LoadedModel, choose_engine
from pipelines.scoring.openvino_model import OpenVinoModel
from pipelines.scoring.tensorflow_model import TensorFlowModel
from schemas.artifact import ModelArtifact
from schemas.precision import Engine, Precision

_ENGINES: Mapping[EngineName, type[OpenVinoModel | TensorFlowModel]] = {
    "openvino": OpenVinoModel,
    "tensorflow": TensorFlowModel,
}


def check_model(
    folder: Path, artifact: ModelArtifact, engine: EngineName, precision: Precision
) -> None:
    """Open a model as a worker will, without computing anything.

    Raises:
        ArtifactError: it cannot be opened.
    """
    _ENGINES[engine].check(folder, artifact, precision)


class Classifier:
    """A model artifact, ready to score.

    Args:
        folder: local folder of the artifact.
        artifact: its description, already checked.
        precision: of the computation; `auto` is decided here, on the machine that computes.
        batch_size: chips per call; None for 256 on a CPU, and the best size on a GPU.
        chips: number of chips to score, which decides whether tuning to a GPU is worth it.
        engine: what computes; `auto` is decided here.

    Attributes:
        engine: what computes.
        labels: number of scores per chip.
        precision, batch_size, calls_in_flight, xla: see `engines.LoadedModel`.

    Raises:
        UsageError: engine or device do not support the precision.
        ArtifactError: the model does not fit the artifact.
    """

    def __init__(
        self,
        folder: Path,
        artifact: ModelArtifact,
        precision: Precision,
        batch_size: int | None = None,
        chips: int = 0,
        engine: Engine = "auto",
    ) -> None:
        self.engine = choose_engine(artifact, engine, precision, has_gpu)
        self.labels = len(artifact.label_set.names)
        model: LoadedModel = _ENGINES[self.engine](folder, artifact, precision, batch_size, chips)
        self.precision, self.batch_size = model.precision, model.batch_size
        self.calls_in_flight, self.xla = model.calls_in_flight, model.xla
        self._call = model.call
        self._memory = MemoryLimit()

    def score(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Scores `float32 [n, labels]` of `uint8 [n, S, S, bands]`; n may be 0. Several threads
        may call it at once.

        Raises:
            DeviceOutOfMemory: the device has no memory for n chips at once.
        """
        count = len(pixels)
        if not count:
            return np.empty((0, self.labels), np.float32)
        if not self._memory.allows(count):
            raise DeviceOutOfMemory(f"no memory for {count} chips at once, a while ago")
        try:
            return self._call(pixels)
        except DeviceOutOfMemory:
            self._memory.lower(count)
            raise
