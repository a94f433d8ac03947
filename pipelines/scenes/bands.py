"""Which bands of a scene a model takes, and how their numbers become values."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class SceneBands:
    """The bands of a scene that a model takes, in the order of `Preprocessing.of_scenes`.

    Attributes:
        indexes: position of each in the scene, from 0.
        scales, offsets: a number in the scene means the value number * scale + offset; () if the
            numbers are the values.
        names: of a model whose tifs have bands of their own; () for the usual ones.
    """

    indexes: tuple[int, ...]
    scales: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def are_plain(self) -> bool:
        """Whether the scene's numbers are the values."""
        return set(self.scales) <= {1.0} and set(self.offsets) <= {0.0}

    def to_json(self) -> str:
        """One line of JSON; `from_json` is its inverse."""
        data = asdict(self)
        if not self.names:
            del data["names"]
        return json.dumps(data)

    @classmethod
    def from_json(cls, text: str) -> SceneBands:
        """Read what `to_json` wrote.

        >>> SceneBands.from_json(SceneBands((2, 1, 0), (1.0,) * 3, (0.0,) * 3).to_json()).indexes
        (2, 1, 0)
        """
        return cls(**{name: tuple(values) for name, values in json.loads(text).items()})
