"""An earlier artifact as the weights to start from: its labels by name, its layers by theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.artifacts.loading import load_model
from pipelines.artifacts.opening import open_artifact
from pipelines.errors import StorageError, UsageError, as_usage_error
from pipelines.storage.store import absolute_uri, is_remote
from schemas.artifact import ArtifactError, ModelArtifact
from train.networks._plain_layers import LayerWeights
from train.networks.registry import Network

_SCORES = "scores"


@dataclass(frozen=True)
class EarlierModel:
    """A trained model to go on from.

    Attributes:
        address: of its artifact.
        artifact: its description.
        weights: its weights by layer.
    """

    address: str
    artifact: ModelArtifact
    weights: LayerWeights

    @property
    def source(self) -> str:
        """Where the weights come from, to be printed."""
        return f"the artifact {self.address}"

    @property
    def digest(self) -> str:
        """What identifies the weights."""
        return self.artifact.model_digest

    def check_bands(self, bands: Sequence[str]) -> None:
        """Refuse other bands than its own.

        Raises:
            UsageError: they differ.
        """
        own = self.artifact.preprocessing.bands
        if tuple(bands) != own:
            raise UsageError(
                f"--weights {self.address}: it takes the bands {', '.join(own)}, and this training "
                f"{', '.join(bands)}; --bands chooses them"
            )

    def load_into(self, model: Any, labels: Sequence[str]) -> None:
        """Give a new model the weights of the layers and labels that both have.

        Args:
            model: the same network, for these labels; the side of its input may differ.
        """
        fresh = self.fresh_layers(model, labels)
        for layer in model.layers:
            if layer.name in fresh or not layer.weights:
                continue
            arrays = self.weights[layer.name]
            if layer.name == _SCORES:
                arrays = self._scores_of(labels, layer.get_weights())
            layer.set_weights(arrays)

    def fresh_layers(self, model: Any, labels: Sequence[str]) -> list[str]:
        """The names of the layers that start from random weights: a dense layer on flattened pixels
        of another size with all that follow, and the last one without a label in common.

        Raises:
            UsageError: another layer has other weights than the network's.
        """
        fresh: list[str] = []
        for layer in model.layers:
            shapes = [tuple(weight.shape) for weight in layer.weights]
            if not shapes:
                continue
            own = [array.shape for array in self.weights.get(layer.name, [])]
            is_scores = layer.name == _SCORES
            same = own[:1] and own[0][:-1] == shapes[0][:-1] if is_scores else own == shapes
            dense = type(layer).__name__ == "Dense" and len(layer.output.shape) == 2
            if not (same or dense or fresh):
                raise UsageError(
                    f"--weights {self.address}: its layer {layer.name} has the weights {own}, and "
                    f"that of {self.artifact.network} has {shapes}"
                )
            if not same or fresh or (is_scores and not self._kept(labels)):
                fresh.append(layer.name)
        return fresh

    def describe(self, model: Any, labels: Sequence[str]) -> dict[str, Any]:
        """What a model has from this one, as plain data for JSON; `note` says it to people."""
        fresh = self.fresh_layers(model, labels)
        common = self._kept(labels)
        kept = [] if _SCORES in fresh else common
        by_kind = {
            "labels_kept": kept,
            "labels_new": [name for name in labels if name not in kept],
            "labels_dropped": [n for n in self.artifact.label_set.names if n not in labels],
        }
        return {
            "address": self.address,
            "model_digest": self.artifact.model_digest,
            **by_kind,
            "fresh_layers": fresh,
            "note": _note(by_kind, fresh if common else None),
        }

    def _kept(self, labels: Sequence[str]) -> list[str]:
        return [name for name in labels if name in self.artifact.label_set.names]

    def _scores_of(self, labels: Sequence[str], fresh: list[Any]) -> list[Any]:
        """Kernel and bias of the last layer: columns of the labels that are known, others fresh."""
        kernel, bias = (np.array(array) for array in fresh)
        own_kernel, own_bias = self.weights[_SCORES]
        own = self.artifact.label_set.names
        for at, name in enumerate(labels):
            if name in own:
                kernel[:, at] = own_kernel[:, own.index(name)]
                bias[at] = own_bias[own.index(name)]
        return [kernel, bias]


def is_artifact(weights: str) -> bool:
    """Whether `--weights` names an artifact: a local folder, or anything in an object store.

    Raises:
        UsageError: it is an address of another kind.
    """
    if weights in ("imagenet", "none"):
        return False
    with as_usage_error("--weights", (UsageError,)):
        return is_remote(weights) or Path(absolute_uri(weights)).is_dir()


def open_earlier(weights: str, network: Network, trusted_key: str | None) -> EarlierModel:
    """The artifact that `--weights` names.

    Raises:
        UsageError: it cannot be opened, is not signed as asked, or has another network.
    """
    with as_usage_error("--weights", (UsageError, ArtifactError, StorageError)):
        address = absolute_uri(weights)
        folder, artifact = open_artifact(address, trusted_key=trusted_key)
        if artifact.network != network.name:
            raise UsageError(
                f"{address} has the network {artifact.network}, and --network is {network.name}: "
                "they must be the same"
            )
        model = load_model(folder, artifact)
    weights_by_layer = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    return EarlierModel(address, artifact, weights_by_layer)


def _note(by_kind: Mapping[str, Sequence[str]], fresh: Sequence[str] | None) -> str:
    """What is taken over.

    Args:
        fresh: layers that start fresh; None if no label is in common.
    """
    words = {name.removeprefix("labels_"): names for name, names in by_kind.items() if names}
    text = "; ".join(f"labels {word}: {', '.join(names)}" for word, names in words.items())
    if fresh is None:
        return f"{text}. No label is in common, so only the layers below the scores are taken over"
    if fresh:
        return f"{text}. Its features have another size, so these start fresh: {', '.join(fresh)}"
    return text
