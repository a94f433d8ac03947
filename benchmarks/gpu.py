"""All that only a machine with a GPU can show, in ten minutes.

    python -m benchmarks.gpu --artifact MODEL --chips FOLDER

It needs TensorFlow with CUDA: `make install`, then `.venv/bin/uv pip install --python
.venv/bin/python 'tensorflow[and-cuda]'` at the version of constraints.txt; without access to PyPI,
the same from a folder of wheels (`--no-index --find-links FOLDER`). Each step has its own process,
time and log: one that fails or takes too long does not stop the others. The report is written after
each.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness.artifacts import artifact_for
from benchmarks.harness.chips import ChipPool
from benchmarks.harness.machine import describe_machine
from benchmarks.harness.measure import environment_of_runs
from benchmarks.harness.own_process import ROOT

_TESTS = "tests/pipelines/scoring/test_classifier.py"
_SECONDS = {"tests": 120, "labels": 60, "tuning": 120, "bench": 300}
_JUDGED_CHIPS = 1000

Step = Callable[[argparse.Namespace], Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the steps; returns 1 if one of them failed, 2 without a GPU."""
    asked = _parser().parse_args(arguments)
    asked.work.mkdir(parents=True, exist_ok=True)
    gpu = subprocess.run(
        [sys.executable, "-c", _FIND_GPU], cwd=ROOT, capture_output=True, text=True
    )
    name = gpu.stdout.strip()
    if not name and not asked.without_gpu:
        print("benchmarks.gpu: TensorFlow finds no GPU here", file=sys.stderr)
        return 2
    report: dict[str, Any] = {"machine": describe_machine(), "gpu": name or None, "steps": {}}
    for step in asked.only:
        began = time.perf_counter()
        try:
            found = {"found": STEPS[step](asked)}
        except (OSError, RuntimeError, ValueError, subprocess.SubprocessError) as error:
            found = {"failed": str(error)}
        report["steps"][step] = {**found, "seconds": round(time.perf_counter() - began, 1)}
        (asked.work / "gpu.json").write_text(json.dumps(report, indent=2) + "\n")
        print(f"== {step}\n{json.dumps(report['steps'][step], indent=2)}", flush=True)
    return int(any("failed" in step for step in report["steps"].values()))


def _run_tests(asked: argparse.Namespace) -> str:
    """The tests marked `gpu`; pytest's last line."""
    return _run(asked, "tests", ["-m", "pytest", "-q", "-m", "gpu", _TESTS])


def _compare_labels(asked: argparse.Namespace) -> dict[str, Any]:
    """bfloat16 and float16 compared with float32; of random weights the labels say nothing."""
    pool = _pool(asked)
    chips = pool.folder(min(len(pool.originals), _JUDGED_CHIPS))
    command = ["-m", "benchmarks.parts.limits", "precision", str(_artifact(asked)), str(chips)]
    found: dict[str, Any] = json.loads(_run(asked, "labels", command))
    return found


def _try_tuning(asked: argparse.Namespace) -> dict[str, Any]:
    """Every batch size, without and with XLA."""
    command = [
        "-m",
        "benchmarks.parts.gpu_tuning",
        str(_artifact(asked)),
        "--most",
        str(asked.most),
    ]
    found: dict[str, Any] = json.loads(_run(asked, "tuning", command))
    return found


def _bench(asked: argparse.Namespace) -> dict[str, Any]:
    """The command with VGG16 next to the limits, at two archive sizes."""
    _run(asked, "bench", ["-m", "benchmarks.scoring", *bench_flags(asked)])
    found: dict[str, Any] = json.loads((asked.work / "bench.json").read_text())
    return {name: found[name] for name in ("figures", "targets", "notes")}


def bench_flags(asked: argparse.Namespace) -> list[str]:
    """Flags of `benchmarks.scoring` for the parts that matter on a GPU."""
    flags = ["--only", "limits,ours", "--networks", "vgg16", "--repeats", "1"]
    flags += ["--sizes", f"{asked.size},{2 * asked.size}", "--media_type", "jpg"]
    flags += ["--work", str(asked.work), "--json", str(asked.work / "bench.json")]
    return flags + (["--chips", str(asked.chips)] if asked.chips else [])


STEPS: dict[str, Step] = {
    "tests": _run_tests,
    "labels": _compare_labels,
    "tuning": _try_tuning,
    "bench": _bench,
}

_FIND_GPU = """
from pipelines.scoring.devices import find_gpu
gpu = find_gpu()
print(f"{gpu.name}, compute capability {gpu.compute_capability}" if gpu else "")
"""


def _run(asked: argparse.Namespace, step: str, arguments: list[str]) -> str:
    """Run Python with a time limit; returns the last line of its output, all of which is kept."""
    output, errors = (asked.work / f"{step}.{kind}" for kind in ("out", "log"))
    with output.open("w") as out, errors.open("w") as log:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment_of_runs(),
            stdout=out,
            stderr=log,
            timeout=_SECONDS[step] * (10 if asked.without_gpu else 1),
        )
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}, see {output} and {errors}")
    return (output.read_text(errors="replace").strip().splitlines() or [""])[-1]


def _artifact(asked: argparse.Namespace) -> Path:
    return asked.artifact or artifact_for("vgg16", "jpg", asked.work)


def _pool(asked: argparse.Namespace) -> ChipPool:
    return ChipPool("jpg", asked.chips, asked.work)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description="The gpu tests, precisions, tuning and scoring on a GPU, in ten minutes.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--artifact", type=_folder, help="a trained model of jpg chips (default: random weights)")
    add("--chips", type=_folder, help="folder of jpg chips (default: the sample archive)")
    add("--size", type=int, default=100_096, help="chips of the smaller archive (default 100096)")
    add("--most", type=int, default=4096, help="largest batch size (default 4096)")
    add("--only", nargs="+", choices=STEPS, default=list(STEPS), help="steps (default: all)")
    add("--work", type=_folder, default=ROOT / "build" / "gpu", help="default build/gpu")
    add("--without_gpu", action="store_true", help="try this program on the processor")
    return parser


def _folder(text: str) -> Path:
    return Path(text).resolve()


if __name__ == "__main__":
    sys.exit(main())
