"""The models of the study: what each one is, and what is different about it.

After Thisted (2020): a random forest, a baseline CNN and its variants, and VGG16. All networks
share the split, the seed and every option that is not named here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.errors import UsageError
from train.networks.backbones import BACKBONES

FOREST, CNN, SKY, VGG16, TUNED = "forest", "cnn", "cnn_sky", "vgg16", "vgg16_tuned"
"""Names of the models that the comparison mentions."""

UPSAMPLED_LABEL = "blow_down"
"""The label that was too rare in the study; if it is absent, the rarest one is used instead."""


@dataclass(frozen=True)
class StudyModel:
    """A model of the study.

    Attributes:
        name: its folder, and its name in `--models`.
        title: its name in tables and pictures.
        idea: what it is and what it shows, in a sentence or two.
        network: a name in `train.networks.registry.NETWORKS`; None for the forest.
        side_factor: its input's side as a multiple of the study's `--image_size`.
        training_share: how much of the training part it sees.
        is_upsampled: whether chips of a rare label are repeated.
        recipe: a name in `train.recipes.RECIPES`; None for the published study's training.
        in_all: whether `all` includes it.
    """

    name: str
    title: str
    idea: str
    network: str | None
    side_factor: int = 1
    training_share: float = 1.0
    is_upsampled: bool = False
    recipe: str | None = None
    in_all: bool = True


MODELS: Mapping[str, StudyModel] = {
    model.name: model
    for model in (
        StudyModel(
            name=FOREST,
            title="Random forest",
            idea="Decision trees on three numbers for each chip: its mean red, green and blue. "
            "It sees colours but no shapes.",
            network=None,
        ),
        StudyModel(
            name="mean_colour",
            title="Mean colour",
            idea="One dense layer on the same mean colours: the smallest possible network. "
            "What other models reach beyond it comes from shapes in the picture.",
            network="mean_colour",
        ),
        StudyModel(
            name=CNN,
            title="Baseline CNN",
            idea="Three convolutions and two dense layers, trained only on these chips.",
            network="cnn",
        ),
        StudyModel(
            name="cnn_batch_norm",
            title="CNN, batch norm",
            idea="The baseline with batch normalisation after its first dense layer.",
            network="cnn_batch_norm",
        ),
        StudyModel(
            name=SKY,
            title="CNN, sky only",
            idea="The baseline with a softmax over the sky labels only: each chip has exactly one "
            "of them, and the network is built for that.",
            network="cnn_sky",
        ),
        StudyModel(
            name="cnn_upsampled",
            title="CNN, upsampled",
            idea="The baseline with the chips of a rare label repeated.",
            network="cnn",
            is_upsampled=True,
        ),
        StudyModel(
            name="cnn_grey",
            title="CNN, grey",
            idea="The baseline on grey pictures of twice the side: finer shapes, no colour.",
            network="cnn_grey",
            side_factor=2,
        ),
        StudyModel(
            name="cnn_small",
            title="CNN, a tenth",
            idea="The baseline on a tenth of the training chips (the study: 2,000 of 20,000): "
            "what more chips are worth.",
            network="cnn",
            training_share=0.1,
        ),
        StudyModel(
            name=VGG16,
            title="VGG16",
            idea="Thirteen convolutions, pretrained on ImageNet's photographs and then trained on "
            "these chips.",
            network="vgg16",
        ),
        StudyModel(
            name=TUNED,
            title="VGG16, fine-tuned",
            idea="VGG16 with what the study left for later: chips are flipped, rotated and varied "
            "in every epoch, the learning rate rises, falls and is smaller for lower layers, and "
            "weights are averaged.",
            network="vgg16",
            recipe="best",
        ),
        *(
            StudyModel(
                name=backbone.name,
                title=backbone.application,
                idea="Beyond the study: a network of keras.applications, pretrained on ImageNet's "
                "photographs and then trained on these chips.",
                network=backbone.name,
                in_all=False,
            )
            for backbone in BACKBONES.values()
        ),
    )
}
"""The models, in the order of training and of the report."""


def choose_models(asked: str, has_sky: bool) -> tuple[StudyModel, ...]:
    """The models that `--models` asks for, in the order of `MODELS`.

    Args:
        asked: `all`, or names separated by commas.
        has_sky: whether there are sky labels; `all` leaves out what needs them.

    Raises:
        UsageError: an unknown name, no name, or the sky model without sky labels.
    """
    names = {name.strip() for name in asked.split(",") if name.strip()}
    unknown = sorted(names - set(MODELS) - {"all"})
    if unknown or not names:
        wrong = ", ".join(map(repr, unknown)) or "none named"
        raise UsageError(f"--models: {wrong}; choose from all, {', '.join(MODELS)}")
    if SKY in names and not has_sky:
        raise UsageError(f"--models {SKY}: the labels have no sky group; --label_set names one")
    possible = [model for model in MODELS.values() if has_sky or model.name != SKY]
    everything = "all" in names
    return tuple(m for m in possible if m.name in names or (everything and m.in_all))


def label_to_upsample(positives: Mapping[str, int]) -> str | None:
    """The label whose chips are repeated: `blow_down`, or the rarest of those that occur.

    Args:
        positives: training chips by label, in label order.

    >>> label_to_upsample({"clear": 90, "blow_down": 0, "road": 4, "water": 9})
    'road'
    """
    if positives.get(UPSAMPLED_LABEL):
        return UPSAMPLED_LABEL
    present = {name: count for name, count in positives.items() if count}
    return min(present, key=lambda name: present[name]) if present else None


def take_share(names: Sequence[str], share: float, seed: int) -> tuple[str, ...]:
    """A random share of names, at least one, in their own order."""
    import numpy as np

    count = max(1, round(len(names) * share))
    drawn = np.random.default_rng(seed).permutation(len(names))[:count]
    return tuple(names[i] for i in sorted(drawn.tolist()))
