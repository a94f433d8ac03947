"""Scoring, compared with the limits of the machine and with other systems, in one run.

    python -m benchmarks.scoring --json figures.json --picture figures.png

Ours and the limits are measured in turns, so that a slower machine affects both; a ratio uses
neighbouring repeats. docs/benchmarks.md says how to read it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import extras, rounds
from benchmarks.harness.bench import NETWORKS, Bench
from benchmarks.harness.machine import describe_machine
from benchmarks.harness.targets import PEERS, judge
from benchmarks.reports.report import as_json, as_text, write_json

IN_ROUNDS = ("limits", "ours", "peers")
"""Parts that are measured together in each repeat."""

BY_THEMSELVES: dict[str, Callable[[Bench], None]] = {
    "store": extras.measure_store,
    "startup": extras.measure_startup,
    "memory": extras.measure_memory,
    "precision": extras.measure_precision,
    "training": extras.measure_training,
}
"""Parts that do their own repeats."""

PARTS = (*IN_ROUNDS, *BY_THEMSELVES)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; with --check, returns 1 if a target was missed."""
    asked = _parser().parse_args(arguments)
    machine = describe_machine()
    try:
        bench = Bench.prepare(asked)
    except (OSError, ValueError) as error:
        print(f"benchmarks.scoring: {error}", file=sys.stderr)
        return 2
    _measure(bench, asked.only)
    verdicts = judge(bench.figures, machine["flags"])
    if asked.json:
        write_json(asked.json, as_json(bench.figures, verdicts, machine))
    if asked.picture:
        from benchmarks.reports.picture import draw

        draw(asked.picture, bench.figures, machine)
    print(as_text(bench.figures, verdicts, machine))
    missed = any(verdict.met is False for verdict in verdicts)
    return 1 if asked.check and missed else 0


def _measure(bench: Bench, only: Sequence[str]) -> None:
    for number in range(bench.repeats):
        if any(part in only for part in IN_ROUNDS):
            _say(f"round {number + 1} of {bench.repeats}")
            _measure_round(bench, only)
    for part, measure in BY_THEMSELVES.items():
        if part in only:
            _say(part)
            measure(bench)


def _measure_round(bench: Bench, only: Sequence[str]) -> None:
    if "ours" in only:
        rounds.measure_limits_and_ours(bench)
    else:  # the sizes of the peers' archives depend on the limits
        rounds.measure_limits(bench)
    if "peers" in only:
        rounds.measure_peers(bench)


def _say(text: str) -> None:
    print(f"-- {text}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scoring",
        description="Compare scoring with the machine's limits and with other systems.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--chips", type=Path, help="folder of chips to measure on (default: the sample archive)")
    add("--media_type", choices=("jpg", "tif"), help="only these (default: what the folder has)")
    add("--artifact", type=Path, help="trained model for the precision (default: random weights)")
    add("--sizes", type=_two_sizes, help="two archive sizes, as 2000,10000 (default: by speed)")
    add("--peer_sizes", type=_two_sizes, help="the same for the peers")
    add("--memory_sizes", type=_two_sizes, default=(10_000, 100_000), help="10000,100000")
    add("--seconds", type=float, default=12.0, help="work between two sizes (default 12)")
    add("--peer_seconds", type=float, default=8.0, help="the same for the peers (default 8)")
    add("--only", type=_some_of(PARTS), default=list(PARTS), help=f"of {', '.join(PARTS)}")
    add("--networks", type=_some_of(NETWORKS), default=list(NETWORKS), help="models")
    add("--peers", type=_some_of(PEERS), default=list(PEERS), help=f"of {', '.join(PEERS)}")
    add("--repeats", type=int, default=2, help="default 2")
    add("--json", type=Path, help="write every figure and ratio here")
    add("--picture", type=Path, help="draw a chart here (PNG)")
    add("--check", action="store_true", help="exit with 1 if a target was missed")
    add("--work", type=Path, default=Path("build/bench"), help="default build/bench")
    return parser


def _two_sizes(text: str) -> tuple[int, int]:
    few, many = (int(part) for part in text.split(","))
    if not 0 < few < many:
        raise argparse.ArgumentTypeError(f"{text}: two sizes, the second larger")
    return few, many


def _some_of(known: Any) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        chosen = text.split(",")
        if unknown := [name for name in chosen if name not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not one of {','.join(known)}")
        return chosen

    return parse


if __name__ == "__main__":
    sys.exit(main())
