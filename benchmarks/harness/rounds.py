"""The parts of each round of the benchmark: the limits, this project, the peers."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import ours
from benchmarks.harness.artifacts import artifact_for
from benchmarks.harness.bench import SOME_CHIPS, Bench, Way
from benchmarks.harness.environments import ENVIRONMENTS, PeerMissing
from benchmarks.harness.measure import CommandFailed
from benchmarks.harness.systems import LIKELY_CHIPS_PER_S, Peer
from benchmarks.harness.targets import shared_limit
from benchmarks.parts import limits
from pipelines.scoring.tuning import BATCH_SIZE, TUNED_FROM_CHIPS
from schemas.artifact import MediaType
from schemas.precision import native_bfloat16

_BATCH_SIZES = (64, 128, 512)
_GPU_BATCH_SIZES = (256, 512, 1024, 2048, 4096)
_ON_PROCESSOR = (
    *(("openvino", precision) for precision in ("float32", "bfloat16", "int8")),
    *(("tensorflow", precision) for precision in ("float32", "bfloat16")),
)
"""Engines and precisions. Other batch sizes are tried of TensorFlow alone: OpenVINO splits them."""

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
        scored = [_measure_ours(bench, network, kind, w, before) for w in bench.ways(network)]
        _keep(bench, [before, _limits_of(bench, network, kind)])
        if scored[0] and bench.gpu:
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
    rates, jobs = {}, []
    for way in bench.ways(network):
        job = _model(bench, network, kind, way.engine, None, way.precision, _LIMIT_SECONDS)
        bench.gpu = bench.gpu or job["gpu"]
        name = f"limits.{network}{way.suffix}.{kind}"
        rates |= _rates(f"{name}.as_the_job", job)
        rates[f"{name}.job_shared_chips_per_s"] = (_together(bench, job, decode), "chips/s")
        bench.figures.notes[f"{name}.as_the_job"] = _how(job)
        jobs.append(job)
        if bench.gpu:
            break
    bench.figures.notes["gpu"] = bench.gpu or "no GPU here"
    best = _at_best(bench, network, kind, jobs)
    name = f"limits.{network}.{kind}"
    rates |= _rates(f"{name}.best", best)
    rates[f"{name}.shared_chips_per_s"] = (_together(bench, best, decode), "chips/s")
    if network == "mean_colour":  # next to which the host path is measured
        rates |= _rates(f"limits.decode.{kind}", decode)
        rates |= _tif_decoding(bench, artifact) if kind == "tif" else {}
    return rates


def _together(bench: Bench, model: Mapping[str, Any], decode: Mapping[str, Any]) -> float:
    limit = min if bench.gpu else shared_limit
    return float(limit(model["chips_per_s"], decode["chips_per_s"]))


def _at_best(
    bench: Bench, network: str, kind: MediaType, jobs: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The bare VGG16 with the engine, batch size and precision that are fastest here, found
    once."""
    if network != "vgg16":
        return dict(jobs[0])
    if bench.best_model is None:
        bench.best_model = _probe(bench, network, kind, jobs)
    same = [job for job in jobs if _key(job) == bench.best_model]
    how = bench.best_model
    best = same[0] if same else _model(bench, network, kind, *how, _LIMIT_SECONDS)
    bench.figures.notes[f"limits.{network}.{kind}.best"] = _how(best)
    return dict(best)


def _key(found: Mapping[str, Any]) -> tuple[str, int, str]:
    return (str(found["engine"]), int(found["batch_size"]), str(found["precision"]))


def _how(found: Mapping[str, Any]) -> str:
    xla = ", XLA" if found["xla"] else ""
    return f"{found['engine']}, batch size {found['batch_size']}, {found['precision']}{xla}"


def _probe(
    bench: Bench, network: str, kind: MediaType, jobs: Sequence[Mapping[str, Any]]
) -> tuple[str, int, str]:
    """The fastest engine, batch size and precision: what the job chooses, or another."""
    rates = {_key(job): job["chips_per_s"] for job in jobs}
    for engine, size, precision in sorted(_others(bench, _key(jobs[0])) - rates.keys()):
        name = f"limits.{network}.{kind}.{engine}.{precision}.batch_{size}"
        try:
            found = _model(bench, network, kind, engine, size, precision, _PROBE_SECONDS)
        except RuntimeError as error:  # a GPU may not have the memory for that many
            bench.fail(name, error)
            continue
        rates[engine, size, precision] = found["chips_per_s"]
        bench.figures.add(f"{name}.chips_per_s", found["chips_per_s"], "chips/s")
    return max(rates, key=lambda key: rates[key])


def _others(bench: Bench, job: tuple[str, int, str]) -> set[tuple[str, int, str]]:
    """What else is tried."""
    engine, job_size, precision = job
    if bench.gpu:
        sizes = {(engine, size, precision) for size in _GPU_BATCH_SIZES}
        return sizes | {(engine, job_size, "float32")}
    fast = "bfloat16" if native_bfloat16() else "float32"
    sizes = {("tensorflow", size, fast) for size in _BATCH_SIZES}
    return sizes | {(engine, BATCH_SIZE, precision) for engine, precision in _ON_PROCESSOR}


def _model(
    bench: Bench,
    network: str,
    kind: MediaType,
    engine: str,
    batch_size: int | None,
    precision: str,
    seconds: float,
) -> dict[str, Any]:
    artifact, folder = artifact_for(network, kind, bench.work), bench.pools[kind].folder(SOME_CHIPS)
    options: dict[str, object] = {"engine": engine, "precision": precision, "seconds": seconds}
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


def _measure_ours(bench: Bench, network: str, kind: MediaType, way: Way, before: Rates) -> bool:
    """The command at two archive sizes, on a GPU both of them large enough to be tuned to it;
    whether that succeeded."""
    limit, _ = before[f"limits.{network}{way.suffix}.{kind}.job_shared_chips_per_s"]
    least = TUNED_FROM_CHIPS if bench.gpu else BATCH_SIZE
    sizes = bench.sizes or bench.sizes_for(limit, bench.seconds, least)
    artifact = artifact_for(network, kind, bench.work)
    name = f"ours.{network}{way.suffix}.{kind}"
    print(f"   {name}, {sizes[0]} and {sizes[1]} chips", file=sys.stderr, flush=True)
    bench.figures.notes[f"{name}.sizes"] = f"{sizes[0]} and {sizes[1]} chips"
    pool, flags = bench.pools[kind], way.flags()
    try:
        slope = ours.score_at_sizes(pool, artifact, sizes, bench.work, *flags)
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
    slow = "limits.vgg16.jpg.tensorflow.float32."
    probed = [name for name in bench.figures.values if name.startswith(slow)]
    best = bench.figures.best(probed)
    return bench.figures.median(best or "limits.vgg16.jpg.as_the_job.chips_per_s")
