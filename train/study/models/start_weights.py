"""Which weights each network of a study starts from: what `--weights` says about it."""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.errors import UsageError
from train.addresses import local_path
from train.networks.earlier_model import is_artifact
from train.networks.registry import NETWORKS
from train.options import check_weights
from train.study.models.plan import choose_models
from train.study.options import StudyOptions


def weights_for(options: StudyOptions, network: str) -> str | None:
    """The weights that a network starts from; None for its default.

    A file without a network's name is for the one pretrained network that is asked for.
    """
    asked = options.weights
    if asked in (None, "imagenet", "none"):
        return asked
    if named := _named_files(str(asked)):
        return named.get(network)
    return asked if network in _pretrained(options) else None


def check_start_weights(options: StudyOptions) -> None:
    """Refuse weights that a network does not start from, or that are not there.

    Raises:
        UsageError: see above; or one file for several networks, or an artifact.
    """
    asked, networks = options.weights, _pretrained(options)
    if asked in (None, "imagenet", "none"):
        return
    named = _named_files(str(asked))
    if not named and len(networks) > 1:
        raise UsageError(
            f"--weights {asked}: whose are they? Name the networks: "
            + ",".join(f"{network}=FILE" for network in networks)
        )
    for network, weights in (named or dict.fromkeys(networks, str(asked))).items():
        local_path("--weights", weights)
        if is_artifact(weights):
            raise UsageError(f"--weights {weights}: a study starts from a file, not an artifact")
        check_weights(weights, NETWORKS[network])


def _named_files(asked: str) -> Mapping[str, str]:
    """Files by network from `NETWORK=FILE,NETWORK=FILE`; empty if it is one file's name."""
    pairs = [part.partition("=") for part in asked.split(",")]
    named = {network.strip(): file.strip() for network, _, file in pairs}
    return named if all(name in NETWORKS and named[name] for name in named) else {}


def _pretrained(options: StudyOptions) -> list[str]:
    """The networks with pretrained weights among the models that are asked for."""
    networks = [model.network for model in choose_models(options.models, has_sky=True)]
    return [name for name in dict.fromkeys(networks) if name and NETWORKS[name].takes_imagenet]
