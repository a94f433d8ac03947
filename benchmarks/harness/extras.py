"""What is measured outside the rounds: object store, start-up, memory, precision, training."""

from __future__ import annotations

import sys

from benchmarks import training_memory
from benchmarks.harness import ours
from benchmarks.harness.artifacts import artifact_for
from benchmarks.harness.bench import SOME_CHIPS, Bench
from benchmarks.harness.measure import CommandFailed, run_measured
from benchmarks.harness.own_process import ROOT
from benchmarks.parts import limits, object_store, training
from schemas.artifact import MediaType
from schemas.artifact_files import MODEL_FILE, read_description

_PRECISION_CHIPS = 1000
_STARTUP_REPEATS = 3
_STORE_OBJECTS = {"ours": 20_000, "google": 2_000}
_IMPORT_AND_LOAD = "import apache_beam, tensorflow, keras"


def measure_store(bench: Bench) -> None:
    """Objects over HTTP: our client and google-cloud-storage's in turns, on the same server."""
    with object_store.serving() as address:
        for _ in range(bench.repeats):
            for client, objects in _STORE_OBJECTS.items():
                try:
                    found = object_store.measure(client, address, objects)
                except RuntimeError as error:
                    bench.fail(f"store.{client}", error)
                    continue
                name = f"store.{client}"
                bench.figures.add(f"{name}.objects_per_s", found["objects_per_s"], "objects/s")
                bench.figures.add(f"{name}.cpu_ms_per_object", found["cpu_ms_per_object"], "ms")


def measure_startup(bench: Bench) -> None:
    """One chip through the whole command, compared with a script that imports and loads."""
    bench.warm_up()
    kind, pool = next(iter(bench.pools.items()))
    network = "vgg16" if kind == "jpg" else "mean_colour"
    artifact = artifact_for(network, kind, bench.work)
    script = f"{_IMPORT_AND_LOAD}\nkeras.models.load_model({str(artifact / MODEL_FILE)!r})"
    log = bench.work / "logs" / "startup_script.log"
    for _ in range(max(_STARTUP_REPEATS, bench.repeats)):
        mine = ours.score_folder(pool.folder(1), artifact, bench.work)
        theirs = run_measured([sys.executable, "-c", script], ROOT, log)
        bench.figures.add("startup.ours.seconds", mine.seconds, "s")
        bench.figures.add("startup.script.seconds", theirs.seconds, "s")
        bench.figures.add("startup.ours.cpu_seconds", mine.cpu_seconds, "s")
        bench.figures.add("startup.script.cpu_seconds", theirs.cpu_seconds, "s")


def measure_memory(bench: Bench) -> None:
    """Peak memory and chips/s at a smaller and a larger archive, with the model that costs
    nothing. The smaller one is short: it and the start-up are repeated more often."""
    bench.warm_up()
    kind, pool = next(iter(bench.pools.items()))
    artifact = artifact_for("mean_colour", kind, bench.work)
    small, large = bench.memory_sizes
    for _ in range(bench.repeats):
        for name, size in (*[("start", 1), ("small", small)] * 3, ("large", large)):
            run = ours.score_folder(pool.folder(size), artifact, bench.work)
            bench.figures.add(f"memory.{name}.seconds", run.seconds, "s")
            bench.figures.add(f"memory.{name}.peak_bytes", run.peak_bytes, "bytes")
            bench.figures.add(f"memory.{name}.others_share", run.others_share, "share")
    bench.figures.notes["memory"] = f"{small} and {large} chips, {kind}"
    start = bench.figures.median("memory.start.seconds")
    for name, size in (("small", small), ("large", large)):
        seconds = bench.figures.median(f"memory.{name}.seconds") - start
        bench.figures.add(f"memory.{name}.chips_per_s", (size - 1) / seconds, "chips/s")


def measure_precision(bench: Bench) -> None:
    """How other precisions differ from float32. Random weights say nothing about a trained model:
    their figures have a name that no target uses."""
    kind: MediaType = next(iter(bench.pools))
    name = "precision" if bench.artifact else "precision.random_weights"
    if bench.artifact:
        kind = read_description(bench.artifact).preprocessing.media_type
    if kind not in bench.pools:
        bench.figures.notes[name] = (
            f"left out: the artifact takes {kind}, and there are no such chips"
        )
        return
    artifact = bench.artifact or artifact_for("vgg16", kind, bench.work)
    chips = min(len(bench.pools[kind].originals), _PRECISION_CHIPS)
    try:
        found = limits.measure("precision", artifact, bench.pools[kind].folder(chips))
    except RuntimeError as error:
        bench.fail(name, error)
        return
    units = {"labels_differing_share": "share", "chips_differing": "chips", "chips": "chips"}
    for precision, differences in found.items():
        for key, value in differences.items():
            bench.figures.add(f"{name}.{precision}.{key}", value, units.get(key, ""))


def measure_training(bench: Bench) -> None:
    """How fast VGG16 is trained, and how fast it would be if its input cost nothing."""
    if "jpg" not in bench.pools:
        bench.figures.notes["training"] = "left out: measured on jpg"
        return
    artifact = artifact_for("vgg16", "jpg", bench.work)
    for _ in range(bench.repeats):
        try:
            found = training.measure(artifact, bench.pools["jpg"].folder(SOME_CHIPS))
        except RuntimeError as error:
            bench.fail("training", error)
            return
        for name, rate in found.items():
            bench.figures.add(f"training.{name}", rate, "chips/s")
    try:
        held = training_memory.measure(bench.pools["jpg"], bench.work / "training_memory")
    except CommandFailed as error:
        bench.fail("training.memory", error)
        return
    for name, value in held.items():
        unit = "bytes" if name.endswith("bytes") else "s"
        bench.figures.add(f"training.memory.{name}", value, unit)
