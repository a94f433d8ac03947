"""The pretrained weights of a backbone: from a file in Keras' notop layout, or Keras' download."""

from __future__ import annotations

import hashlib
import socket
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from pipelines.errors import UsageError
from pipelines.imaging.band_names import COLOURS
from schemas.networks.hdf5_arrays import find_arrays
from train.networks._plain_layers import LayerWeights, layer_weights
from train.networks.backbones import Backbone
from train.networks.input_bands import spread_kernel

STALL_SECONDS = 30
"""How long a host may be silent."""


@dataclass(frozen=True)
class BackboneWeights:
    """A backbone's weights and their source.

    Attributes:
        weights: by layer, without the layers of the top.
        source: a file, or the name of the download, to be printed.
    """

    weights: LayerWeights
    source: str

    @property
    def digest(self) -> str:
        """sha256 of the arrays in layer order, independent of the file that they came from."""
        digest = hashlib.sha256()
        for name, arrays in self.weights.items():
            for array in arrays:
                digest.update(f"{name} {array.shape}".encode())
                digest.update(np.ascontiguousarray(array, "<f4").tobytes())
        return digest.hexdigest()

    def load_into(self, model: Any, bands: Sequence[str] = COLOURS) -> None:
        """Give the weights to a network with these bands, see `input_bands.spread_kernel`."""
        first, (kernel, *others) = next(iter(self.weights.items()))
        spread = {first: [spread_kernel(kernel, bands), *others]}
        for name, arrays in {**self.weights, **spread}.items():
            model.get_layer(name).set_weights(arrays)


def read_backbone_file(path: Path, backbone: Backbone) -> BackboneWeights:
    """Read a file that Keras offers for download, or that `save_weights` wrote.

    Raises:
        UsageError: it is not HDF5, points to other files, or has other layers than the backbone.
    """
    template = backbone.template()
    try:
        with h5py.File(path, "r") as file:
            find_arrays(file, path.stat().st_size)
            older = "layer_names" in file.attrs or "model_weights" in file
        with tempfile.TemporaryDirectory(prefix="forest-chips-weights-") as temporary:
            # Keras chooses the format by the name.
            link = Path(temporary, "weights.h5" if older else "a.weights.h5")
            link.symlink_to(path.absolute())
            template.load_weights(link)
        found = layer_weights(template)
        if not all(np.isfinite(array).all() for arrays in found.values() for array in arrays):
            raise ValueError("it holds values that are not finite")
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, IndexError) as error:
        raise UsageError(
            f"--weights {path}: {_reason(error)} (--weights takes imagenet, none, an artifact, or "
            f"a file of {backbone.application}'s weights in Keras' notop layout)"
        ) from error
    return BackboneWeights(found, f"file {path.name}")


def fetch_backbone(backbone: Backbone) -> BackboneWeights:
    """ImageNet's weights as Keras downloads them, or as it has downloaded them before.

    Raises:
        UsageError: they cannot be fetched; says why, and how to get them.
    """
    print(f"ImageNet weights of {backbone.application}: keras.applications ...", flush=True)
    try:
        with socket_timeout(STALL_SECONDS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that they are made for 224 pixels
            template = backbone.template("imagenet")
    except Exception as error:  # Keras has no specific error for a failed download
        raise UsageError(
            f"cannot fetch ImageNet weights of {backbone.name} ({_reason(error)}): fetch them on "
            f"another machine (keras.applications.{backbone.application}(include_top=False) keeps "
            "a .h5 file in ~/.keras/models) and pass it with --weights FILE, or train without "
            "them with --weights none"
        ) from error
    return BackboneWeights(layer_weights(template), "ImageNet (keras.applications)")


@contextmanager
def socket_timeout(seconds: float) -> Iterator[None]:
    """Connections that are opened inside the context fail after this time of silence."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
