"""Which bands of a chip a network takes, and which of ImageNet's channels each of them is.

- Three bands or more, red, green and blue among them by their names: these three take their
  channels, the others start with weights of 0.
- Three bands or more without these: the first three of the model's input take the channels, in this
  order, the others start with weights of 0.
- One band or two: each is an equal share of all three channels, as in a grey picture.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pipelines.errors import UsageError
from pipelines.imaging.band_names import find_colours, is_number, numbered_names
from pipelines.imaging.tiff_bands import TifKind
from schemas.networks.preprocessing import is_band_name

BandRule = Literal["colours", "colours_first", "as_stored"]
"""Which bands a network takes by default: red, green and blue alone; all, these three first; or all
in the order in which they are stored."""

Kernel = npt.NDArray[np.float32]


def choose_bands(
    network: str, rule: BandRule, stored: Sequence[str], asked: str | None
) -> tuple[str, ...]:
    """The bands that a network takes of a chip, in the order of its input.

    By default all that it can take: near infrared separates plants from water and bare ground, and
    a network that starts from weights for three bands loses nothing by a fourth.

    Args:
        network: its name, for messages.
        stored: names of the bands of a chip, in the order in which they are stored.
        asked: `--bands`: None, `rgb`, `all`, or a list of names or of numbers from 1, with commas.

    Raises:
        UsageError: the chips do not have the bands that are asked for, or the network does not take
            them.
    """
    if asked in (None, "rgb", "all"):
        return _by_rule(network, rule, stored, asked)
    chosen = [_find(part, stored, f"--bands {asked}") for part in split_list(str(asked))]
    if len(set(chosen)) < len(chosen):
        raise UsageError(f"--bands {asked}: a band is named twice")
    if rule == "colours" and not (len(chosen) == 3 and find_colours(chosen) == (0, 1, 2)):
        raise UsageError(f"--bands {asked}: {network} takes red, green and blue, in this order")
    return tuple(chosen)


def stored_names(kind: TifKind, asked: str | None) -> tuple[str, ...]:
    """The names of the bands in tifs: those that the files have; else those in `--bands`, if these
    are as many as the files have bands; else the usual ones.

    Raises:
        UsageError: the files have no names, and `asked` has names for some of their bands.
    """
    if kind.named or asked in (None, "rgb", "all"):
        return kind.bands
    parts, count = split_list(str(asked)), len(kind.bands) + kind.alpha
    names = tuple(part for part in parts if not is_number(part))
    if names == tuple(parts) and len(names) in (len(kind.bands), count):
        return names
    if unknown := [name for name in names if name not in kind.bands]:
        raise UsageError(
            f"--bands {asked}: the tifs do not name their {count} bands, so {unknown[0]!r} can be "
            f"any of them: name all {count} in their order, or give numbers, such as 3,2,1"
        )
    return numbered_names(count) if kind.alpha and str(count) in parts else kind.bands


def split_list(asked: str) -> list[str]:
    """The names or numbers in a list with commas.

    Raises:
        UsageError: one of them is neither.
    """
    parts = [part.strip() for part in asked.split(",")]
    if wrong := [part for part in parts if not (is_number(part) or is_band_name(part))]:
        raise UsageError(
            f"--bands {asked}: {wrong[0]!r} is neither the name nor the number of a band; it takes "
            "rgb, all, or a list such as B02,B03,B04,B08 or 4,3,2"
        )
    return parts


def _by_rule(
    network: str, rule: BandRule, stored: Sequence[str], asked: str | None
) -> tuple[str, ...]:
    colours = find_colours(stored)
    if rule == "as_stored" and asked != "rgb":
        return tuple(stored)
    if colours is None and (asked == "rgb" or rule == "colours"):
        wanted = "--bands rgb" if asked == "rgb" else f"--network {network}"
        raise UsageError(
            f"{wanted}: red, green and blue are not among the bands {', '.join(stored)}; name "
            "all of them with --bands, or three of them by number, such as --bands 4,3,2"
        )
    first = [stored[at] for at in colours or ()]
    if asked == "rgb" or rule == "colours":
        if asked == "all" and len(stored) > len(first):
            raise UsageError(
                f"--bands all: {network} takes {', '.join(first)}, not all of {', '.join(stored)}"
            )
        return tuple(first)
    return (*first, *(name for name in stored if name not in first))


def _find(part: str, stored: Sequence[str], where: str) -> str:
    if is_number(part):
        if not 1 <= int(part) <= len(stored):
            raise UsageError(f"{where}: {part} is not one of the bands 1 to {len(stored)}")
        return stored[int(part) - 1]
    known = [name.casefold() for name in stored]
    if part.casefold() not in known:
        raise UsageError(f"{where}: {part!r} is not among the bands {', '.join(stored)}")
    return stored[known.index(part.casefold())]


def imagenet_shares(bands: Sequence[str]) -> npt.NDArray[np.float32]:
    """How much of ImageNet's red, green and blue (rows) each band takes: `float32 [3, bands]`, as
    this module's text says.

    >>> imagenet_shares(["blue", "green", "red", "near_infrared"]).tolist()
    [[0.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]
    """
    count = len(bands)
    if count < 3:
        return np.full((3, count), 1 / count, np.float32)
    shares = np.zeros((3, count), np.float32)
    shares[range(3), find_colours(bands) or range(3)] = 1
    return shares


def spread_kernel(kernel: Kernel, bands: Sequence[str]) -> Kernel:
    """A first kernel for red, green and blue as one for other bands, by `imagenet_shares`.

    A band with weights of 0 is ignored at the start, and the network learns to use it: a weight of
    0 after a normalised input has a gradient like any other. InstructPix2Pix does the same (Brooks,
    Holynski and Efros 2023, https://arxiv.org/abs/2211.09800, section 3.2).

    Args:
        kernel: `float32 [height, width, 3, out]`.

    Returns:
        `float32 [height, width, bands, out]`.
    """
    spread: Kernel = np.einsum("hwco,cb->hwbo", kernel, imagenet_shares(bands))
    return spread


def spread_statistics(values: Sequence[float], bands: Sequence[str]) -> npt.NDArray[np.float32]:
    """One number for each band, such as ImageNet's mean, from those of red, green and blue: that of
    its channel; for any other band, the mean of the three."""
    shares = imagenet_shares(bands)
    weights = np.where(shares.sum(0) > 0, shares, 1.0)
    means: npt.NDArray[Any] = np.asarray(values, np.float64) @ (weights / weights.sum(0))
    return means.astype(np.float32)
