"""One run of the benchmark: its options, and what was measured so far."""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.harness import ours
from benchmarks.harness.artifacts import artifact_for
from benchmarks.harness.chips import ChipPool, media_types_in
from benchmarks.harness.figures import Figures
from benchmarks.harness.measure import Slope
from pipelines.scoring.tuning import BATCH_SIZE
from schemas.artifact import MediaType
from schemas.precision import Engine, Precision

NETWORKS = ("vgg16", "mean_colour")


@dataclass(frozen=True)
class Way:
    """How a model is computed, as flags ask for it.

    Attributes:
        suffix: of the figures' names.
    """

    suffix: str = ""
    engine: Engine = "auto"
    precision: Precision = "auto"

    def flags(self) -> list[str]:
        """Of the command."""
        return ["--engine", self.engine, "--precision", self.precision]


AUTO = Way()
ON_CPU = (AUTO, Way("_int8", precision="int8"), Way("_tensorflow", engine="tensorflow"))
"""VGG16 is measured in each of these."""

_DISTURBED_SHARES = {"ours": 0.05, "peers": 0.2}  # theirs holds processes that sampling missed
SOME_CHIPS = 1000
"""Chips that the limits read again and again."""


@dataclass
class Bench:
    """One run of the benchmark.

    Attributes:
        pools: chips by media type.
        networks: models to measure with.
        peers: peers to measure.
        repeats: how often.
        sizes, peer_sizes: archive sizes; None to choose them by speed.
        memory_sizes: the smaller and the larger archive of the memory's measurement.
        seconds, peer_seconds: how long the work between two sizes should take.
        artifact: a trained model, None for random weights.
        work: folder for all files that are created.
        figures: what was measured so far.
        best_model: engine, batch size and precision at which the bare VGG16 is fastest here.
        gpu: name of the GPU, "" without one or before the first measurement.
        warm: whether the command has run once.
    """

    pools: dict[MediaType, ChipPool]
    networks: list[str]
    peers: list[str]
    repeats: int
    sizes: tuple[int, int] | None
    peer_sizes: tuple[int, int] | None
    memory_sizes: tuple[int, int]
    seconds: float
    peer_seconds: float
    artifact: Path | None
    work: Path
    figures: Figures = field(default_factory=Figures)
    best_model: tuple[str, int, str] | None = None
    gpu: str = ""
    warm: bool = False

    @classmethod
    def prepare(cls, asked: argparse.Namespace) -> Bench:
        """From the command line.

        Raises:
            OSError: the folder cannot be read.
            ValueError: it holds no chips.
        """
        work = asked.work.resolve()
        source = asked.chips.resolve() if asked.chips else None
        kinds = [asked.media_type] if asked.media_type else media_types_in(source)
        if not kinds:
            raise ValueError(f"{source} holds no chips")
        return cls(
            pools={kind: ChipPool(kind, source, work) for kind in kinds},
            networks=asked.networks,
            peers=asked.peers,
            repeats=asked.repeats,
            sizes=asked.sizes,
            peer_sizes=asked.peer_sizes,
            memory_sizes=asked.memory_sizes,
            seconds=asked.seconds,
            peer_seconds=asked.peer_seconds,
            artifact=asked.artifact.resolve() if asked.artifact else None,
            work=work,
        )

    def cases(self) -> list[tuple[str, MediaType]]:
        """Model and media type of what is measured: VGG16 on jpg, the host path on both."""
        cases: list[tuple[str, MediaType]] = []
        for kind in self.pools:
            cases += [(n, kind) for n in self.networks if kind == "jpg" or n == "mean_colour"]
        return cases

    def ways(self, network: str) -> tuple[Way, ...]:
        """How a model is measured; before the first measurement a GPU is not yet known."""
        return ON_CPU if network == "vgg16" and not self.gpu else (AUTO,)

    def add_slope(self, name: str, slope: Slope) -> None:
        """Add the figures of a slope."""
        self.figures.add(f"{name}.chips_per_s", slope.chips_per_s, "chips/s")
        self.figures.add(f"{name}.startup_s", slope.startup_s, "s")
        self.figures.add(f"{name}.cpu_ms_per_chip", slope.cpu_ms_per_chip, "ms")
        self.figures.add(f"{name}.peak_bytes", slope.peak_bytes, "bytes")
        self.figures.add(f"{name}.others_share", slope.others_share, "share")
        if slope.gpu_waiting_share is not None:
            self.figures.add(f"{name}.gpu_waiting_share", slope.gpu_waiting_share, "share")
        if slope.others_share > _DISTURBED_SHARES[name.split(".")[0]]:
            note = f"something else took {slope.others_share:.0%} of the processors: measure again"
            self.figures.notes[f"{name}.disturbed"] = note

    @staticmethod
    def sizes_for(chips_per_s: float, seconds: float, least: int = BATCH_SIZE) -> tuple[int, int]:
        """Two archive sizes of at least `least` chips, with `seconds` of work between them, in
        whole batches."""
        between = BATCH_SIZE * max(2, math.ceil(chips_per_s * seconds / BATCH_SIZE))
        few = BATCH_SIZE * math.ceil(max(least, between / 5) / BATCH_SIZE)
        return few, few + between

    def warm_up(self) -> None:
        """Score one chip, once: Python compiles and the disk is read only the first time."""
        if not self.warm:
            kind, pool = next(iter(self.pools.items()))
            artifact = artifact_for("mean_colour", kind, self.work)
            ours.score_folder(pool.folder(1), artifact, self.work)
            self.warm = True

    def fail(self, name: str, error: Exception) -> None:
        """Print, and note in the report, that something could not be measured."""
        print(f"{name}: {error}", file=sys.stderr)
        self.figures.notes[name] = f"failed: {str(error).splitlines()[-1]}"
