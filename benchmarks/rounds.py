"""What each round of the benchmark goes through: the limits, this project, the peers."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from benchmarks import gpu, limits, ours
from benchmarks.artifacts import artifact_for
from benchmarks.bench import SOME_CHIPS, Bench
from benchmarks.environments import PeerMissing
from benchmarks.measure import CommandFailed
from benchmarks.systems import LIKELY_CHIPS_PER_S, Peer
from benchmarks.targets import shared_limit
from schemas.artifact import MediaType

_BATCH_SIZES = (64, 128, 512)
_PRECISIONS = ("float32", "bfloat16")
_LIMIT_SECONDS = 5.0
_PROBE_SECONDS = 3.0


def measure_limits(bench: Bench) -> None:
    """Bare read + decode by media type; the bare model as the job calls it, and at its best."""
    for kind, pool in bench.pools.items():
        artifact = artifact_for("mean_colour", kind, bench.work)
        found = limits.measure("decode", artifact, pool.folder(SOME_CHIPS), seconds=_LIMIT_SECONDS)
        _add_rate(bench, f"limits.decode.{kind}", found)
    for network, kind in bench.cases():
        _measure_model(bench, network, kind)
    if "tif" in bench.pools:
        _measure_tif_decoding(bench)


def _measure_model(bench: Bench, network: str, kind: MediaType) -> None:
    name = f"limits.{network}.{kind}"
    found = _model(bench, network, kind, ours.job_batch_size(), "auto", _LIMIT_SECONDS)
    _add_rate(bench, f"{name}.as_the_job", found)
    bench.figures.notes[f"{name}.as_the_job"] = (
        f"batch size {ours.job_batch_size()}, {found['precision']}"
    )
    bench.figures.notes["gpu"] = found["gpu"] or "no GPU here"
    best = found
    if network == "vgg16":
        if bench.best_model is None:
            bench.best_model = _probe(bench, network, kind, found)
        batch_size, precision = bench.best_model
        bench.figures.notes[f"{name}.best"] = f"batch size {batch_size}, {precision}"
        if bench.best_model != (ours.job_batch_size(), found["precision"]):
            best = _model(bench, network, kind, batch_size, precision, _LIMIT_SECONDS)
    _add_rate(bench, f"{name}.best", best)
    decode = bench.figures.values[f"limits.decode.{kind}.chips_per_s"][-1]
    shared = shared_limit(best["chips_per_s"], decode)
    bench.figures.add(f"{name}.shared_chips_per_s", shared, "chips/s")


def _probe(bench: Bench, network: str, kind: MediaType, auto: Mapping[str, Any]) -> tuple[int, str]:
    """The fastest batch size in the precision that the job chooses, or in another precision."""
    batch_size, precision = ours.job_batch_size(), str(auto["precision"])
    rates = {(batch_size, precision): auto["chips_per_s"]}
    others = [(size, precision) for size in _BATCH_SIZES]
    others += [(batch_size, other) for other in _PRECISIONS if other != precision]
    for size, other in others:
        found = _model(bench, network, kind, size, other, _PROBE_SECONDS)
        rates[size, other] = found["chips_per_s"]
        name = f"limits.{network}.{kind}.{other}.batch_{size}"
        bench.figures.add(f"{name}.chips_per_s", found["chips_per_s"], "chips/s")
    return max(rates, key=lambda key: rates[key])


def _model(
    bench: Bench, network: str, kind: MediaType, batch_size: int, precision: str, seconds: float
) -> dict[str, Any]:
    return limits.measure(
        "model",
        artifact_for(network, kind, bench.work),
        bench.pools[kind].folder(SOME_CHIPS),
        batch_size=batch_size,
        precision=precision,
        seconds=seconds,
    )


def _measure_tif_decoding(bench: Bench) -> None:
    artifact = artifact_for("mean_colour", "tif", bench.work)
    folder = bench.pools["tif"].folder(SOME_CHIPS)
    found = limits.measure("tif_decode", artifact, folder, seconds=_LIMIT_SECONDS)
    bench.figures.add("limits.tif_decode.ours_ms", found["ours_ms"], "ms")
    if found["raw_ms"] is None:
        bench.figures.notes["limits.tif_decode"] = "no plain strips: the raw way does not apply"
        return
    bench.figures.add("limits.tif_decode.fastest_ms", found["raw_ms"], "ms")


def _add_rate(bench: Bench, name: str, found: Mapping[str, Any]) -> None:
    bench.figures.add(f"{name}.chips_per_s", found["chips_per_s"], "chips/s")
    bench.figures.add(f"{name}.cpu_ms_per_chip", found["cpu_ms_per_chip"], "ms")


def measure_ours(bench: Bench) -> None:
    """The command at two archive sizes, with each model."""
    bench.warm_up()
    for network, kind in bench.cases():
        limit = bench.figures.median(f"limits.{network}.{kind}.shared_chips_per_s")
        sizes = bench.sizes or bench.sizes_for(limit, bench.seconds)
        artifact = artifact_for(network, kind, bench.work)
        name = f"ours.{network}.{kind}"
        bench.figures.notes[f"{name}.sizes"] = f"{sizes[0]} and {sizes[1]} chips"
        try:
            with gpu.watching() as samples:
                slope = ours.score_at_sizes(bench.pools[kind], artifact, sizes, bench.work)
        except (CommandFailed, ValueError) as error:
            bench.fail(name, error)
            continue
        bench.add_slope(name, slope)
        _add_gpu(bench, name, samples)


def _add_gpu(bench: Bench, name: str, samples: list[float]) -> None:
    """Where there is a GPU: how much of the bare model's rate we reach, how much it waits."""
    waiting = gpu.waiting_share(samples)
    if waiting is not None:
        bare = bench.figures.values[f"{name.replace('ours', 'limits')}.best.chips_per_s"][-1]
        rate = bench.figures.values[f"{name}.chips_per_s"][-1]
        bench.figures.add(f"{name}.share_of_bare_model", rate / bare, "share")
        bench.figures.add(f"{name}.gpu_waiting_share", waiting, "share")


def measure_peers(bench: Bench) -> None:
    """Each peer at two archive sizes, with each model, on jpg chips."""
    if "jpg" not in bench.pools:
        bench.figures.notes["peers"] = "left out: their guides read jpg, not 16-bit tif"
        return
    for name in bench.peers:
        if f"peers.{name}" not in bench.figures.notes:
            try:
                _measure_peer(bench, Peer(name, bench.work, bench.work.parent / "bench-envs"))
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
    probed = f"limits.vgg16.jpg.float32.batch_{ours.job_batch_size()}.chips_per_s"
    name = probed if bench.figures.has(probed) else "limits.vgg16.jpg.as_the_job.chips_per_s"
    return bench.figures.median(name)
