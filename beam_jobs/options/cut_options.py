"""The flags that cut chips from scenes: windows of large GeoTIFFs instead of files."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from pipelines.errors import UsageError
from pipelines.flags import at_least_0, at_least_1, common_flag, flag, not_empty, ratio
from pipelines.planning.stac_items import ENDINGS
from pipelines.runs.run_plan import MAX_NO_DATA
from pipelines.scenes.lattice import Cut, Edge
from schemas.artifact import MediaType, Preprocessing

EDGE: Edge = "drop"
"""What is meant if the flag is not given."""


@dataclass(frozen=True)
class CutOptions:
    """How scenes are cut; None means that the flag was not given."""

    cut_px: int | None = common_flag(
        "Cut chips of this many pixels a side from large GeoTIFFs (scenes), and score them; no "
        "chip is written.",
        at_least_1,
        must_match=True,
        default=None,
    )
    overlap_px: int | None = flag(
        "With --cut_px: the pixels that two neighbouring chips share. Default: 0.",
        at_least_0,
        must_match=True,
        default=None,
    )
    edge: Edge | None = flag(
        "With --cut_px: drop leaves out chips over the edge of a scene, shift moves them inwards, "
        f"pad fills them with no data. Default: {EDGE}.",
        must_match=True,
        default=None,
    )
    max_no_data: float | None = flag(
        "With --cut_px: a chip with a larger share of no data is counted, and not scored. Default: "
        f"{MAX_NO_DATA}.",
        ratio,
        must_match=True,
        default=None,
    )
    asset: str | None = flag(
        "With --cut_px: the asset of each item that is the GeoTIFF, if --chips is a STAC "
        "ItemCollection (.json).",
        not_empty,
        metavar="NAME",
        must_match=True,
        default=None,
    )

    @property
    def cut(self) -> Cut | None:
        """How to cut; None if chips are files."""
        if self.cut_px is None:
            return None
        return Cut(self.cut_px, self.overlap_px or 0, self.edge or EDGE)

    def recorded(self) -> dict[str, Any]:
        """The options as the run's record stores them; nothing if chips are files."""
        if self.cut_px is None:
            return {}
        return {
            "cut_px": self.cut_px,
            "overlap_px": self.overlap_px or 0,
            "edge": self.edge or EDGE,
            "max_no_data": MAX_NO_DATA if self.max_no_data is None else self.max_no_data,
            "asset": self.asset,
        }

    def check(self, chips: str, media_type: MediaType | None) -> None:
        """Check the flags together.

        Args:
            chips: the address of the archive.
            media_type: that of `--media_type`.

        Raises:
            UsageError: they contradict each other, or a package is missing.
        """
        is_stac = chips.lower().endswith(ENDINGS)
        if self.cut_px is None:
            for name, value in vars(self).items():
                if value is not None:
                    raise UsageError(f"--{name} belongs to --cut_px, which is not given")
            if is_stac:
                raise UsageError(f"--chips {chips!r} names scenes: cut them with --cut_px")
            return
        if find_spec("imagecodecs") is None:
            raise UsageError(
                "--cut_px needs the package imagecodecs: pip install 'forest-chips[scenes]'"
            )
        if self.overlap_px is not None and self.overlap_px >= self.cut_px:
            raise UsageError(
                f"--overlap_px {self.overlap_px} must be less than --cut_px {self.cut_px}"
            )
        if media_type not in (None, "tif"):
            raise UsageError(
                f"--cut_px cuts chips from GeoTIFFs: leave --media_type {media_type} out"
            )
        if is_stac and not self.asset:
            raise UsageError(f"--chips {chips!r} is a STAC file: name the asset with --asset")
        if self.asset and not is_stac:
            raise UsageError(f"--asset belongs to a STAC file (.json), and --chips is {chips!r}")

    def check_model(self, preprocessing: Preprocessing) -> None:
        """Refuse sizes that the model does not take.

        Raises:
            UsageError: chips would be too small or too large.
        """
        shortest, longest = preprocessing.accepted_sides_px
        if self.cut_px is not None and not shortest <= self.cut_px <= longest:
            raise UsageError(
                f"--cut_px {self.cut_px}: the model of --artifact takes chips of {shortest} to "
                f"{longest} px"
            )
