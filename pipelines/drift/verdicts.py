"""The verdict on a night and its reasons, as stored in `runs` and as people read it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, fields

from pipelines.wording import count_of
from schemas.tables import BAD

DAMAGE = "damage"
"""The check that finds damaged files."""

_SHOWN = 5  # in a line for people; `runs.findings` has all


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: psi, quarantine, volume, or run for all of them; damage for damaged files of the
            tables, which were left out.
        value: the figure, None if the check was skipped.
        limit: the limit of the figure, chance included.
        bad: whether the figure is past the limit.
        label: the label whose scores were compared; "" for other checks.
        note: why the check was skipped; "" if it was not. For damage, what it costs.
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
            check = "drift" if self.check == "run" else self.check
            return f"{check} check skipped: {self.note}"
        if self.check == DAMAGE:
            return f"damage: {self.note}"
        of = f" of {self.label}" if self.label else ""
        return f"{self.check}{of} {self.value:.3g} (limit {self.limit:.3g})"


@dataclass(frozen=True)
class Verdict:
    """The verdict on a night.

    Attributes:
        verdict: `runs.verdict`: good, bad, or None if nothing could be checked.
        findings: one per check, for psi one per label.
    """

    verdict: str | None
    findings: tuple[Finding, ...]

    @property
    def bad(self) -> bool:
        """Whether an operator should look at the night."""
        return self.verdict == BAD

    @property
    def texts(self) -> list[str]:
        """In words: what makes the night bad, the worst first; else which checks were skipped."""
        bad = worst_first(self.findings)
        shown = [finding.text for finding in bad[:_SHOWN]]
        more = [f"and {len(bad) - _SHOWN} more"] if len(bad) > _SHOWN else []
        return [*shown, *more] or [finding.text for finding in self.findings if finding.note]


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """The bad ones, furthest past their limits first."""
    return sorted((finding for finding in findings if finding.bad), key=_excess, reverse=True)


def findings_json(findings: Collection[Finding]) -> str:
    """Findings as a JSON array of objects, without unknown values."""
    return json.dumps([_known(finding) for finding in findings])


def read_findings(text: str | None) -> tuple[Finding, ...]:
    """Read what `findings_json` wrote, here or in a later release; none for a run that was not
    checked."""
    known = [each.name for each in fields(Finding)]
    found = json.loads(text or "[]")
    return tuple(Finding(**{n: each[n] for n in known if n in each}) for each in found)


def with_damage(verdict: Verdict, files: int, chips_again: int) -> Verdict:
    """A verdict on a night for which damaged files of the tables were left out: it is bad.

    Args:
        files: how many; if none, the verdict stays.
        chips_again: how many chips were scored again at most because of that.
    """
    if not files:
        return verdict
    note = f"{count_of(files, 'damaged file')} of the tables skipped"
    if chips_again:
        note += f", up to {count_of(chips_again, 'chip')} scored again"
    damage = Finding(DAMAGE, float(files), 0.0, True, note=note)
    return Verdict(BAD, (*verdict.findings, damage))


def skipped(why: str) -> Verdict:
    """No verdict, and the reason instead of findings."""
    return Verdict(None, (Finding("run", note=why),))


def _excess(bad: Finding) -> float:
    """How many times a bad figure is above or below its limit."""
    ratio = (bad.value or 1) / (bad.limit or 1)
    return max(ratio, 1 / ratio)


def _known(finding: Finding) -> dict[str, object]:
    known = {name: value for name, value in asdict(finding).items() if value not in (None, "")}
    return {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in known.items()
    }
