"""The parts of each round of the benchmark: the limits, this project, the peers."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.harness import ours
from benchmarks.harness.artifacts import artifact_for
from benchmarks.harness.bench import SOME_CHIPS, Bench
from benchmarks.harness.environments import ENVIRONMENTS, PeerMissing
from benchmarks.harness.measure import CommandFailed
from benchmarks.harness.systems import LIKELY_CHIPS_PER_S, Peer
from benchmarks.harness.targets import shared_limit
from benchmarks.parts import limits
from pipelines.scoring.tuning import BATCH_SIZE, TUNED_FROM_CHIPS
from schemas.artifact import MediaType

_BATCH_SIZES = (64, 128, 512)
_GPU_BATCH_SIZES = (256, 512, 1024, 2048, 4096)
_LIMIT_SECONDS = 5.0
_PROBE_SECONDS = 3.0

Rates = dict[str, tuple[float, str]]
"""Name to value and unit."""


def measure_limits(bench: Bench) -> None:
    """Only the limits."""
    for network, kind in bench.cases():
        _keep(bench, [_limits_of(bench, network, kind)])


def measure_limits_and_ours(bench: Bench) -> None:
    """The limits before and after this project: their mean is what the machine could do in the
    time between, should it drift."""
    bench.warm_up()
    for network, kind in bench.cases():
        before = _limits_of(bench, network, kind)
        scored = _measure_ours(bench, network, kind, before)
        _keep(bench, [before, _limits_of(bench, network, kind)])
        if scored and bench.gpu:
            _add_share_of_model(bench, network, kind)


def _keep(bench: Bench, found: list[Rates]) -> None:
    for name, (_, unit) in found[0].items():
        bench.figures.add(name, statistics.fmean(rates[name][0] for rates in found), unit)


def _limits_of(bench: Bench, network: str, kind: MediaType) -> Rates:
    """Bare read + decode, the bare model as the job calls it and at its best, and what the two
    would reach together: on shared cores, or the slower of the two if the model runs on a GPU."""
    folder = bench.pools[kind].folder(SOME_CHIPS)
    artifact = artifact_for(network, kind, bench.work)
    decode = limits.measure("decode", artifact, folder, seconds=_LIMIT_SECONDS)
    job = _model(bench, network, kind, None, "auto", _LIMIT_SECONDS)
    bench.gpu = job["gpu"]
    best = _at_best(bench, network, kind, job)
    name = f"limits.{network}.{kind}"
    bench.figures.notes[f"{name}.as_the_job"] = _how(job["batch_size"], job["precision"], job)
    bench.figures.notes["gpu"] = job["gpu"] or "no GPU here"
    limit = min if bench.gpu else shared_limit
    shared = limit(best["chips_per_s"], decode["chips_per_s"])
    rates = {**_rates(f"{name}.as_the_job", job), **_rates(f"{name}.best", best)}
    rates[f"{name}.shared_chips_per_s"] = (shared, "chips/s")
    if network == "mean_colour":  # next to which the host path is measured
        rates |= _rates(f"limits.decode.{kind}", decode)
        rates |= _tif_decoding(bench, artifact) if kind == "tif" else {}
    return rates


def _at_best(bench: Bench, network: str, kind: MediaType, job: Mapping[str, Any]) -> dict[str, Any]:
    """The bare VGG16 at the batch size and precision that are fastest here, found once."""
    if network != "vgg16":
        return dict(job)
    if bench.best_model is None:
        bench.best_model = _probe(bench, network, kind, job)
    batch_size, precision = bench.best_model
    same = bench.best_model == (job["batch_size"], job["precision"])
    best = job if same else _model(bench, network, kind, batch_size, precision, _LIMIT_SECONDS)
    bench.figures.notes[f"limits.{network}.{kind}.best"] = _how(batch_size, precision, best)
    return dict(best)


def _how(batch_size: int, precision: str, found: Mapping[str, Any]) -> str:
    return f"batch size {batch_size}, {precision}{', XLA' if found['xla'] else ''}"


def _probe(bench: Bench, network: str, kind: MediaType, auto: Mapping[str, Any]) -> tuple[int, str]:
    """The fastest batch size in the precision that the job chooses, or in another precision."""
    job = (int(auto["batch_size"]), str(auto["precision"]))
    rates = {job: auto["chips_per_s"]}
    precisions = {"float32", job[1]} if bench.gpu else {"float32", "bfloat16"}
    others = {(size, job[1]) for size in (_GPU_BATCH_SIZES if bench.gpu else _BATCH_SIZES)}
    others |= {(job[0], other) for other in precisions}
    for size, other in sorted(others - {job}):
        try:
            found = _model(bench, network, kind, size, other, _PROBE_SECONDS)
        except RuntimeError as error:  # a GPU may not have the memory for that many
            bench.fail(f"limits.{network}.{kind}.{other}.batch_{size}", error)
            continue
        rates[size, other] = found["chips_per_s"]
        name = f"limits.{network}.{kind}.{other}.batch_{size}"
        bench.figures.add(f"{name}.chips_per_s", found["chips_per_s"], "chips/s")
    return max(rates, key=lambda key: rates[key])


def _model(
    bench: Bench,
    network: str,
    kind: MediaType,
    batch_size: int | None,
    precision: str,
    seconds: float,
) -> dict[str, Any]:
    artifact, folder = artifact_for(network, kind, bench.work), bench.pools[kind].folder(SOME_CHIPS)
    options: dict[str, object] = {"precision": precision, "seconds": seconds}
    if batch_size is not None:
        options["batch_size"] = batch_size
    return limits.measure("model", artifact, folder, **options)


def _tif_decoding(bench: Bench, artifact: Path) -> Rates:
    folder = bench.pools["tif"].folder(SOME_CHIPS)
    found = limits.measure("tif_decode", artifact, folder, seconds=_LIMIT_SECONDS)
    rates = {"limits.tif_decode.ours_ms": (found["ours_ms"], "ms")}
    if found["raw_ms"] is None:
        bench.figures.notes["limits.tif_decode"] = "no plain strips: the raw way does not apply"
    else:
        rates["limits.tif_decode.fastest_ms"] = (found["raw_ms"], "ms")
    return rates


def _rates(name: str, found: Mapping[str, Any]) -> Rates:
    return {
        f"{name}.chips_per_s": (found["chips_per_s"], "chips/s"),
        f"{name}.cpu_ms_per_chip": (found["cpu_ms_per_chip"], "ms"),
    }


def _measure_ours(bench: Bench, network: str, kind: MediaType, before: Rates) -> bool:
    """The command at two archive sizes, on a GPU both of them large enough to be tuned to it;
    whether that succeeded."""
    limit, _ = before[f"limits.{network}.{kind}.shared_chips_per_s"]
    least = TUNED_FROM_CHIPS if bench.gpu else BATCH_SIZE
    sizes = bench.sizes or bench.sizes_for(limit, bench.seconds, least)
    artifact = artifact_for(network, kind, bench.work)
    name = f"ours.{network}.{kind}"
    print(f"   {name}, {sizes[0]} and {sizes[1]} chips", file=sys.stderr, flush=True)
    bench.figures.notes[f"{name}.sizes"] = f"{sizes[0]} and {sizes[1]} chips"
    try:
        slope = ours.score_at_sizes(bench.pools[kind], artifact, sizes, bench.work)
    except (CommandFailed, ValueError) as error:
        bench.fail(name, error)
        return False
    bench.add_slope(name, slope)
    return True


def _add_share_of_model(bench: Bench, network: str, kind: MediaType) -> None:
    """The share of the bare model's rate that we reach in this round."""
    name, bare = f"ours.{network}.{kind}", f"limits.{network}.{kind}.as_the_job"
    ours_now, bare_now = (bench.figures.values[f"{n}.chips_per_s"][-1] for n in (name, bare))
    bench.figures.add(f"{name}.share_of_bare_model", ours_now / bare_now, "share")


def measure_peers(bench: Bench) -> None:
    """Each peer at two archive sizes, with each model, on jpg chips."""
    if "jpg" not in bench.pools:
        bench.figures.notes["peers"] = "left out: their guides read jpg, not 16-bit tif"
        return
    for name in bench.peers:
        if f"peers.{name}" not in bench.figures.notes:
            try:
                _measure_peer(bench, Peer(name, bench.work, ENVIRONMENTS))
            except (PeerMissing, CommandFailed, ValueError) as error:
                bench.fail(f"peers.{name}", error)


def _measure_peer(bench: Bench, peer: Peer) -> None:
    if not bench.figures.has(f"peers.{peer.name}.{bench.networks[0]}.chips_per_s"):
        peer.warm_up(bench.pools["jpg"], artifact_for("mean_colour", "jpg", bench.work))
    for network in bench.networks:
        artifact = artifact_for(network, "jpg", bench.work)
        likely = LIKELY_CHIPS_PER_S[peer.name]
        rate = likely if network == "mean_colour" else min(likely, _float32_rate(bench))
        sizes = bench.peer_sizes or bench.sizes_for(rate, bench.peer_seconds)
        print(f"   {peer.name}, {network}, {sizes[0]} and {sizes[1]} chips", file=sys.stderr)
        slope = peer.score_at_sizes(bench.pools["jpg"], artifact, sizes)
        bench.add_slope(f"peers.{peer.name}.{network}", slope)
        if network == "mean_colour":
            share = peer.black_share(artifact)
            bench.figures.add(f"peers.{peer.name}.black_share", share, "share")


def _float32_rate(bench: Bench) -> float:
    """What the bare VGG16 reaches in float32, in which the peers compute."""
    sizes = (*_BATCH_SIZES, *_GPU_BATCH_SIZES)
    probed = [f"limits.vgg16.jpg.float32.batch_{size}.chips_per_s" for size in sizes]
    best = bench.figures.best(probed)
    return bench.figures.median(best or "limits.vgg16.jpg.as_the_job.chips_per_s")
