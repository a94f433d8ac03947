"""A Keras model as OpenVINO's, and its files."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.artifacts.openvino_network import import_openvino
from schemas.artifact_files import OPENVINO_FILES, OpenVinoKind
from schemas.networks.openvino_file import OpenVinoModel, check_model


def convert_network(model: Any) -> Any:
    """The same network in OpenVINO's memory, in float32: `uint8 [n, S, S, bands]` to
    `float32 [n, labels]`.

    Raises:
        Exception: OpenVINO cannot convert it; there is no common class.
    """
    import tensorflow as tf

    signature = [tf.TensorSpec(model.input_shape, tf.uint8, name="pixels")]

    @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]
    def score(pixels: Any) -> Any:
        return model(tf.cast(pixels, tf.float32), training=False)

    function = score.get_concrete_function()
    # Otherwise all that nothing reads is an output, such as what some activations keep to learn.
    outputs = [tensor.name for tensor in function.outputs]
    with _keeping_root_logger():
        return import_openvino().convert_model(function, output=outputs)


@contextmanager
def _keeping_root_logger() -> Iterator[None]:
    """OpenVINO silences warnings of the whole process while it converts, and leaves them silent if
    it fails."""
    root = logging.getLogger()
    level, filters, handlers = root.level, [*root.filters], [*root.handlers]
    try:
        yield
    finally:
        root.setLevel(level)
        root.filters, root.handlers = filters, handlers


def write_network(folder: Path, kind: OpenVinoKind, network: Any) -> OpenVinoModel:
    """Write a network's graph and weights into an artifact's folder: of the graph only what a
    reader accepts, so without notes about this machine.

    Raises:
        ArtifactError: it has a layer that a reader would refuse; nothing is written.
    """
    with tempfile.TemporaryDirectory(prefix="forest-chips-openvino-") as temporary:
        path = Path(temporary, "network.xml")
        import_openvino().save_model(network, path, compress_to_fp16=False)
        graph, weights = path.read_bytes(), path.with_suffix(".bin").read_bytes()
    graph_name, weights_name = OPENVINO_FILES[kind]
    checked = check_model(graph_name, graph, weights)
    (folder / graph_name).write_text(checked.graph, encoding="ascii")
    (folder / weights_name).write_bytes(weights)
    return checked
