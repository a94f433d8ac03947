"""What a model says about labelled chips."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.artifact import ModelArtifact
from train.data.examples import Truth
from train.judging.measuring import Chosen, Scores


@dataclass(frozen=True)
class Evaluated:
    """Chips that a model was measured on.

    Attributes:
        names: the chips, in the order of the rows of what follows.
        uris: address by chip.
        truth: `uint8 [n, labels]`, 1 where a chip is said to have the label.
        scores: `float32 [n, labels]`.
        chosen: `bool [n, labels]`, the labels that the model gives.
        trained: `bool [n]`, whether the model was trained on a chip of this name.
        artifact: the model's description.
    """

    names: tuple[str, ...]
    uris: Mapping[str, str]
    truth: Truth
    scores: Scores
    chosen: Chosen
    trained: npt.NDArray[np.bool_]
    artifact: ModelArtifact

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the columns."""
        return self.artifact.label_set.names

    @property
    def trained_note(self) -> str:
        """How many chips the model was trained on, for people; empty if it was on none."""
        count = int(self.trained.sum())
        if not count:
            return ""
        return (
            f"The model was trained on chips with the names of {count:,} of these "
            f"{len(self.names):,}: its figures on them are better than on new chips."
        )
