"""The report of a benchmark run: tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.harness.figures import Figures
from benchmarks.harness.targets import Verdict
from pipelines.blocks.document import Block, Bullets, Paragraph, TableBlock
from pipelines.blocks.markdown import block_markdown


def as_json(
    figures: Figures, verdicts: Sequence[Verdict], machine: Mapping[str, Any]
) -> dict[str, Any]:
    """Every figure with its repeats and spread, every target, under stable names."""
    return {
        "machine": dict(machine),
        "figures": {
            name: {
                "value": figures.median(name),
                "unit": figures.units[name],
                "spread": figures.spread(name),
                "repeats": repeats,
            }
            for name, repeats in sorted(figures.values.items())
        },
        "targets": {verdict.name: asdict(verdict) for verdict in verdicts},
        "notes": dict(figures.notes),
    }


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON that can be compared line by line with another run's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def as_text(figures: Figures, verdicts: Sequence[Verdict], machine: Mapping[str, Any]) -> str:
    """The machine, all figures, all targets, what was left out, as Markdown."""
    targets = [_verdict_row(verdict) for verdict in verdicts]
    blocks: list[Block] = [
        Paragraph(_machine_line(machine)),
        TableBlock(["figure", "measured", "spread"], _figure_rows(figures), numbers={1, 2}),
        TableBlock(["target", "measured", "wanted", ""], targets, numbers={1, 2}),
        Bullets([f"{name}: {text}" for name, text in figures.notes.items()]),
    ]
    return "\n\n".join(text for block in blocks if (text := block_markdown(block)))


def _machine_line(machine: Mapping[str, Any]) -> str:
    flags = [name for name, present in machine["flags"].items() if present]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return (
        f"{machine['date']} UTC, {machine['processor']}, {machine['cores']} cores "
        f"({', '.join(flags) or 'no relevant flags'}), {machine['memory_gb']} GB, "
        f"load {machine['load_at_start']} before; Python {machine['python']}, {versions}"
    )


def _figure_rows(figures: Figures) -> list[list[str]]:
    return [
        [
            name,
            f"{format_value(figures.median(name), figures.units[name])}",
            f"{figures.spread(name):.1%}" if len(repeats) > 1 else "one run",
        ]
        for name, repeats in figures.values.items()
    ]


def _verdict_row(verdict: Verdict) -> list[str]:
    if verdict.value is None:
        return [verdict.what, "-", f"{verdict.sense} {verdict.bound:g}", "not measured"]
    value = f"{verdict.value:.3g}" if verdict.value < 100 else f"{verdict.value:,.0f}"
    wanted = f"{verdict.sense} {verdict.bound:g}"
    return [verdict.what, value, wanted, "met" if verdict.met else "NOT MET"]


def format_value(value: float, unit: str) -> str:
    """A figure with its unit, with as many digits as are meaningful."""
    if unit == "bytes":
        return f"{value / 1e9:.2f} GB"
    if unit == "share":
        return f"{value:.3%}"
    digits = 0 if value >= 1000 else 1 if value >= 100 else 2 if value >= 1 else 4
    return f"{value:,.{digits}f} {unit}".rstrip()
