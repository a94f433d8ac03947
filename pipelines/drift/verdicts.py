"""What is thought of a night, and why: as `runs` keeps it and as people read it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass

from schemas.tables import BAD

_TOLD = 5  # in a line for people; `runs.findings` has all


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: psi, quarantine, volume, or run for all of them.
        value: the figure, None where it could not be judged.
        limit: from where on it is bad, chance included.
        bad: whether it is.
        label: the label whose scores were looked at; "" for the others.
        note: why it could not be judged; "" where it was.
    """

    check: str
    value: float | None = None
    limit: float | None = None
    bad: bool = False
    label: str = ""
    note: str = ""

    @property
    def text(self) -> str:
        """The finding in words, for people."""
        if self.value is None:
            return f"{self.check} not judged: {self.note}".removeprefix("run ")
        of = f" of {self.label}" if self.label else ""
        return f"{self.check}{of} {self.value:.3g} (limit {self.limit:.3g})"


@dataclass(frozen=True)
class Verdict:
    """What is thought of a night.

    Attributes:
        verdict: `runs.verdict`: good, bad, or None where nothing could be judged.
        findings: one of every check, and of psi one of every label.
    """

    verdict: str | None
    findings: tuple[Finding, ...]

    @property
    def bad(self) -> bool:
        """Whether somebody should look at the night."""
        return self.verdict == BAD

    @property
    def texts(self) -> list[str]:
        """In words: what makes it bad, the worst first; else what could not be judged."""
        bad = worst_first(self.findings)
        told = [finding.text for finding in bad[:_TOLD]]
        more = [f"and {len(bad) - _TOLD} more"] if len(bad) > _TOLD else []
        return [*told, *more] or [finding.text for finding in self.findings if finding.note]


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """The bad ones, by how many times they are past their limits."""
    return sorted((finding for finding in findings if finding.bad), key=_excess, reverse=True)


def findings_json(findings: Collection[Finding]) -> str:
    """Findings as a JSON array of objects, what is not known left out."""
    return json.dumps([_told(finding) for finding in findings])


def read_findings(text: str | None) -> tuple[Finding, ...]:
    """Read what `findings_json` wrote; none of a run that was not looked at."""
    return tuple(Finding(**each) for each in json.loads(text or "[]"))


def not_judged(why: str) -> Verdict:
    """No verdict, and the reason in the place of every finding."""
    return Verdict(None, (Finding("run", note=why),))


def _excess(bad: Finding) -> float:
    """By how many times a bad figure is past its limit, on whichever side."""
    ratio = (bad.value or 1) / (bad.limit or 1)
    return max(ratio, 1 / ratio)


def _told(finding: Finding) -> dict[str, object]:
    known = {name: value for name, value in asdict(finding).items() if value not in (None, "")}
    return {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in known.items()
    }
