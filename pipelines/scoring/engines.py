"""What computes a model: the protocol that every engine follows, and which one a worker uses.

TensorFlow computes on GPUs, and whatever an artifact holds. OpenVINO computes on CPUs, if the
artifact has the network in its format: it starts in less than a second, in a fifth of the memory,
and also in int8.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from pipelines.errors import UsageError
from schemas.artifact import ModelArtifact
from schemas.artifact_files import MODEL_FILE, OPENVINO_FILES, OpenVinoKind, has_openvino
from schemas.precision import Engine, Precision

EngineName = Literal["tensorflow", "openvino"]

_EXTRAS = {"tensorflow": "gpu", "openvino": "cpu"}


class LoadedModel(Protocol):
    """A model on one device.

    Attributes:
        precision: of the computation, never `auto`.
        batch_size: the best number of chips per call.
        calls_in_flight: number of concurrent calls that is fastest; 1 for TensorFlow on a CPU.
        xla: whether XLA compiled it.
    """

    precision: Precision
    batch_size: int
    calls_in_flight: int
    xla: bool

    def call(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Scores `float32 [n, labels]` of `uint8 [n, S, S, bands]`, n at least 1. Several threads
        may call it at once.

        Raises:
            DeviceOutOfMemory: the device has no memory for n chips at once.
        """

    @staticmethod
    def check(folder: Path, artifact: ModelArtifact, precision: Precision) -> None:
        """Open an artifact's model without computing anything.

        Raises:
            ArtifactError: it cannot be opened.
        """


def check_engine(artifact: ModelArtifact, engine: Engine, precision: Precision) -> None:
    """Refuse what no machine can do with an artifact.

    Raises:
        UsageError: engine and precision do not go together, or the artifact lacks the network.
    """
    if engine == "tensorflow" and precision == "int8":
        raise UsageError("--precision int8 needs OpenVINO; use --engine openvino, or leave it out")
    if engine == "openvino" and precision == "float16":
        raise UsageError("--precision float16 needs --engine tensorflow and a GPU")
    if precision == "int8" and not has_openvino(artifact, "int8"):
        raise UsageError(
            "--precision int8: the artifact has no int8 network; python -m train convert "
            "--artifact FOLDER --chips URI --labels FILE adds it"
        )
    if engine == "openvino" and not has_openvino(artifact, "float32"):
        raise UsageError(
            "--engine openvino: the artifact has no network for OpenVINO; python -m train convert "
            "--artifact FOLDER adds it"
        )


def choose_engine(
    artifact: ModelArtifact,
    engine: Engine,
    precision: Precision,
    has_gpu: Callable[[], bool],
    installed: Callable[[str], object] = find_spec,
) -> EngineName:
    """The engine that this machine uses.

    Args:
        has_gpu: whether there is a GPU here; asked only if it matters.
        installed: whether a package is installed.

    Raises:
        UsageError: it is not installed, or see `check_engine`.
    """
    check_engine(artifact, engine, precision)
    chosen: EngineName = "tensorflow"
    if engine != "auto":
        chosen = engine
    elif precision == "int8" or (
        precision != "float16"
        and has_openvino(artifact, "float32")
        and installed("openvino")
        and not (installed("tensorflow") and has_gpu())
    ):
        chosen = "openvino"
    if not installed(chosen):
        raise UsageError(_how_to_install(chosen, artifact))
    return chosen


def doubt_about_int8(artifact: ModelArtifact) -> str | None:
    """What to say of an int8 network that loses a promise, or differs from float32 by more than the
    trainer accepts; None if it does not, or if nothing is known."""
    known = artifact.engines["openvino"].get("int8") if "openvino" in artifact.engines else None
    if not isinstance(known, Mapping) or known.get("accepted") is not False:
        return None
    if lost := known.get("promises_lost"):
        return (
            f"--precision int8: the artifact's precision of {', '.join(lost)} is promised for "
            "float32 alone; on validation chips the int8 network cannot promise it"
        )
    return (
        "--precision int8: on validation chips the artifact's int8 network differs from float32 by "
        "more than the trainer accepts; the model card says how much"
    )


def files_of(engine: EngineName, precision: Precision) -> Sequence[str]:
    """The files of an artifact that an engine opens."""
    return (MODEL_FILE,) if engine == "tensorflow" else OPENVINO_FILES[kind_for(precision)]


def kind_for(precision: Precision) -> OpenVinoKind:
    """The network for OpenVINO that is computed in a precision."""
    return "int8" if precision == "int8" else "float32"


def _how_to_install(engine: EngineName, artifact: ModelArtifact) -> str:
    advice = f"pip install 'forest-chips[{_EXTRAS[engine]}]'"
    if engine == "tensorflow" and not has_openvino(artifact, "float32"):
        advice += ", or let OpenVINO score it: python -m train convert --artifact FOLDER"
    return f"the artifact needs {engine}, which is not installed here: {advice}"
