"""What a comparison found, and what a reader must know about it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from train.artifact_chips import OpenedArtifact
from train.data.examples import Truth
from train.judging.comparing import Difference, Judged


@dataclass(frozen=True)
class Comparison:
    """Artifacts measured on the same chips.

    Attributes:
        names: the chips, in the order of the rows of what follows.
        uris: address by chip, as the first artifact reads it.
        truth: `uint8 [n, labels]`, 1 where a chip has the label.
        labels: those that all artifacts know.
        artifacts: by name; the others are compared with the first.
        judged: what each says about the chips.
        differences: of each other artifact from the first.
        trained: how many of the chips each artifact was trained on.
        undecoded: chips that at least one artifact cannot decode.
    """

    names: tuple[str, ...]
    uris: Mapping[str, str]
    truth: Truth
    labels: tuple[str, ...]
    artifacts: Mapping[str, OpenedArtifact]
    judged: Mapping[str, Judged]
    differences: Mapping[str, Sequence[Difference]]
    trained: Mapping[str, int]
    undecoded: int

    def caveats(self) -> Iterator[str]:
        """What limits the comparison, a sentence each."""
        for name, each in self.artifacts.items():
            others = [n for n in each.description.label_set.names if n not in self.labels]
            if others:
                yield (
                    f"Compared are the {len(self.labels)} labels that all know. {name} knows "
                    f"{len(others)} more: {', '.join(others)}."
                )
        for name, count in self.trained.items():
            if count:
                yield (
                    f"{name} was trained on chips with the names of {count:,} of these "
                    f"{len(self.names):,}, so its figures are too high; --split and --part choose "
                    "chips that it has not seen."
                )
        if self.undecoded:
            yield f"{self.undecoded:,} chips are left out, because not all can decode them."
