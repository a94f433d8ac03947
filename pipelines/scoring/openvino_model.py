"""A model that OpenVINO computes on the processor."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipelines.artifacts.openvino_network import OpenVinoNetwork, check_network
from pipelines.scoring.devices import DeviceOutOfMemory
from pipelines.scoring.engines import kind_for
from pipelines.scoring.tuning import BATCH_SIZE
from schemas.artifact import ModelArtifact
from schemas.artifact_files import read_openvino
from schemas.precision import Precision


class OpenVinoModel:
    """See `engines.LoadedModel`.

    Args: see `tensorflow_model.TensorFlowModel`.

    Raises:
        UsageError: OpenVINO does not compute in the precision.
        ArtifactError: the network does not fit the artifact.
    """

    calls_in_flight = 2  # no core waits at the end of a batch
    xla = False

    def __init__(
        self,
        folder: Path,
        artifact: ModelArtifact,
        precision: Precision,
        batch_size: int | None = None,
        chips: int = 0,
    ) -> None:
        checked = read_openvino(folder, artifact, kind_for(precision))
        self._network = OpenVinoNetwork(checked, precision, *_ends(artifact))
        self.precision = self._network.precision
        self.batch_size = batch_size or BATCH_SIZE

    def call(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """See `engines.LoadedModel`."""
        try:
            return self._network(pixels)
        except MemoryError as error:
            raise DeviceOutOfMemory(f"no memory for {len(pixels)} chips at once") from error

    @staticmethod
    def check(folder: Path, artifact: ModelArtifact, precision: Precision) -> None:
        """See `engines.LoadedModel`."""
        check_network(read_openvino(folder, artifact, kind_for(precision)), *_ends(artifact))


def _ends(artifact: ModelArtifact) -> tuple[tuple[int, int, int], int]:
    return artifact.preprocessing.input_shape, len(artifact.label_set.names)
