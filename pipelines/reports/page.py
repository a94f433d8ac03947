"""A night's report, section by section."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from pipelines.drift.checks import Counts, Night
from pipelines.drift.verdicts import Finding, read_findings, worst_first
from pipelines.reports.charts import score_histogram, share_bar
from pipelines.reports.facts import Example, ReportFacts
from pipelines.reports.html import NOTHING, Cell, shown, table, whole_page
from pipelines.reports.thumbnails import SIDE_PX, Thumbnail
from pipelines.wording import count_of
from schemas.tables import HELD, PUBLISHED, QuarantineReason

_NOTABLE = (
    0.4  # of the limit of PSI: 0.1 where that is 0.25, "no change" (see pipelines.drift.checks)
)
_VERDICTS = {"good": "Good", "bad": "Bad", None: "Not judged"}


def render_report(facts: ReportFacts, thumbnails: Mapping[str, Thumbnail]) -> str:
    """The page.

    Args:
        thumbnails: pictures of the chips in `facts.rare`, by address.
    """
    record = facts.record
    title = f"Night of {record['run_date']}, run {shown(record['run_id'])}"
    sections = [
        _verdict(facts),
        _counts(facts),
        _prevalence(facts),
        _scores(facts),
        _quarantine(facts),
        _rare(facts, thumbnails),
        _durations(record),
        _provenance(record),
    ]
    body = f"<h1>{title}</h1>\n" + "\n".join(section for section in sections if section)
    return whole_page(title, body)


def _verdict(facts: ReportFacts) -> str:
    record = facts.record
    verdict = record["verdict"]
    findings = read_findings(record["findings"])
    bad = worst_first(findings)
    others = [f for f in findings if not f.bad and (f.note or _is_notable(f))]
    items = "".join(f"<li>{_judged(finding)}</li>" for finding in (*bad, *others))
    state = _state(record)
    return (
        f'<section class="verdict {verdict or "none"}"><p><strong>{_VERDICTS[verdict]}</strong>'
        f"{state}</p>{f'<ul>{items}</ul>' if items else ''}</section>"
    )


def _state(record: Mapping[str, Any]) -> str:
    if record["status"] == PUBLISHED:
        return f", published at {record['published_at']:%Y-%m-%d %H:%M} UTC"
    if record["status"] == HELD:
        return (
            ", held: nothing is published. To publish it all the same: "
            f"<code>python -m beam_jobs.publish --output URI --run_id {shown(record['run_id'])}"
            "</code>"
        )
    return f", {shown(record['status'])}: {shown(record['reason'] or 'no reason given')}"


def _is_notable(finding: Finding) -> bool:
    return finding.check == "psi" and (finding.value or 0) >= _NOTABLE * (finding.limit or 1)


def _judged(finding: Finding) -> str:
    bad = "bad: " if finding.bad else ""
    return f"{bad}{shown(finding.text)}"


def _counts(facts: ReportFacts) -> str:
    record = facts.record
    names = ("listed", "skipped", "left_over", "scored", "quarantined")
    tiles = "".join(
        f"<div><dt>{name.replace('_', ' ')}</dt><dd>{record[name]:,}</dd></div>" for name in names
    )
    rows = [_night_row(night) for night in (facts.night, *facts.before)]
    head = ("Night", "Run", "Chips to do", "Scored", "Quarantined", "Share")
    nights = table(head, rows, numbers=range(2, 6)) if facts.before else ""
    findings = read_findings(record["findings"])
    told = [shown(finding.text) for finding in findings if finding.check != "psi"]
    return f"<h2>Chips</h2><dl>{tiles}</dl>{nights}<p>{'; '.join(told)}</p>"


def _night_row(night: Night) -> list[Cell]:
    share = f"{_share(night.quarantined, night.chips):.2%}" if night.chips else None
    return [
        night.run_date,
        shown(night.run_id),
        night.chips,
        night.scored,
        night.quarantined,
        share,
    ]


def _prevalence(facts: ReportFacts) -> str:
    night, before = facts.night, facts.before
    if not night.scored:
        return "<h2>Labels</h2><p>No chip was scored.</p>"
    psi = {f.label: f for f in read_findings(facts.record["findings"]) if f.check == "psi"}
    now = {label: _share(night.labels.get(label, 0), night.scored) for label in night.scores}
    then = {label: _share_before(label, before) for label in night.scores}
    most = max([*now.values(), *(share or 0 for share in then.values())])
    rows: list[list[Cell]] = [
        [
            shown(label),
            night.labels.get(label, 0),
            f"{now[label]:.1%}",
            None if (share := then[label]) is None else f"{share:.1%}",
            None if share is None else f"{100 * (now[label] - share):+.1f}",
            share_bar(now[label], share, most),
            _psi_cell(psi.get(label)),
        ]
        for label in night.scores
    ]
    head = ("Label", "Chips", "Share", "Before", "Points", "Share, | before", "PSI of scores")
    compared = f"the {count_of(len(before), 'night')} before" if before else "no night before"
    return (
        "<h2>Labels</h2>"
        f"<p>Share of the scored chips that carry each label, beside {compared}. The index (PSI) "
        "compares scores, whatever the thresholds: under 0.1 nothing has changed; among a few "
        "dozen chips it is larger by chance, and so is its limit.</p>"
        f"{table(head, rows, numbers=(1, 2, 3, 4, 6))}"
    )


def _psi_cell(finding: Finding | None) -> str | None:
    if finding is None or finding.value is None:
        return None
    text = f"{finding.value:.3f}"
    return f"<strong>{text} bad</strong>" if finding.bad else text


def _scores(facts: ReportFacts) -> str:
    if not facts.night.scored:
        return ""
    before = _scores_before(facts.before)
    figures = "".join(
        f"<figure>{score_histogram(shown(f'scores of {label}'), now, before.get(label))}"
        f"<figcaption>{shown(label)}</figcaption></figure>"
        for label, now in facts.night.scores.items()
    )
    return (
        "<h2>Scores</h2><p>Bars: shares of this night's scores by bin, narrow at both ends; their "
        "height is the square root of the share. Line: the nights before.</p>"
        f'<div class="grid">{figures}</div>'
    )


def _quarantine(facts: ReportFacts) -> str:
    counts = json.loads(facts.record["quarantined_by_reason"] or "{}")
    if not counts:
        return "<h2>Quarantine</h2><p>No chip was quarantined.</p>"
    parts = ["<h2>Quarantine</h2>"]
    for reason, count in counts.items():
        some = facts.rejected.get(reason, [])
        chips = "".join(
            f"<li><code>{shown(chip.chip_uri)}</code> {shown(chip.message)}</li>" for chip in some
        )
        more = f"<li>and {count - len(some):,} more</li>" if count > len(some) else ""
        parts.append(
            f"<h3>{shown(reason)}: {count:,} of {facts.night.chips:,}</h3>"
            f"<p>{_meaning(reason)}</p><ul>{chips}{more}</ul>"
        )
    return "\n".join(parts)


def _meaning(reason: str) -> str:
    known = next((known for known in QuarantineReason if known.value == reason), None)
    if known is None:  # of a newer version
        return ""
    kind = "lasting: not tried again" if known.lasting else "passing: tried again by the next run"
    return f"{escape(known.description)}; {kind}"


def _rare(facts: ReportFacts, thumbnails: Mapping[str, Thumbnail]) -> str:
    if not facts.rare:
        return ""
    parts = [
        "<h2>Rarest labels</h2>",
        "<p>Of the chips that carry them, those with the highest scores.</p>",
    ]
    for label, chips in facts.rare.items():
        figures = "".join(_chip(chip, thumbnails.get(chip.chip_uri)) for chip in chips)
        count = facts.night.labels[label]
        parts.append(f'<h3>{shown(label)}: {count:,}</h3><div class="chips">{figures}</div>')
    return "\n".join(parts)


def _chip(chip: Example, thumbnail: Thumbnail | None) -> str:
    told = f"<figcaption>{chip.score:.3f} <code>{shown(chip.chip_uri)}</code></figcaption>"
    return f"<figure>{_picture(thumbnail)}{told}</figure>"


def _picture(thumbnail: Thumbnail | None) -> str:
    if thumbnail is None or thumbnail.jpeg is None:
        why = thumbnail.missing if thumbnail else "not read"
        return f'<div class="missing">no picture: {shown(why[:150])}</div>'
    data = base64.b64encode(thumbnail.jpeg).decode("ascii")
    return (
        f'<img src="data:image/jpeg;base64,{data}" alt="the chip" '
        f'width="{SIDE_PX}" height="{SIDE_PX}">'
    )


def _durations(record: Mapping[str, Any]) -> str:
    rows: list[list[Cell]] = [
        ["listing and planning", _seconds(record["plan_seconds"])],
        ["from the plan to the end", _seconds(record["score_seconds"])],
    ]
    stages = json.loads(record["stage_seconds"] or "{}")
    rows += [[f"of that {shown(n)}, all workers together", _seconds(s)] for n, s in stages.items()]
    done = record["scored"] + record["quarantined"]
    rate = f"<p>{done / record['score_seconds']:,.1f} chips a second" if done else "<p>No chips"
    read = f", {record['bytes_read'] / 1e6:,.1f} MB read" if record["bytes_read"] else ""
    return f"<h2>Durations</h2>{table(('What', 'Seconds'), rows, numbers=[1])}{rate}{read}.</p>"


def _provenance(record: Mapping[str, Any]) -> str:
    known = {
        "kind": record["kind"],
        "model": record["model_digest"],
        "thresholds": record["thresholds_digest"],
        "precision": record["precision"] or NOTHING,
        **json.loads(record["options"]),
        **json.loads(record["versions"]),
    }
    rows = [[shown(name), f"<code>{shown(value)}</code>"] for name, value in known.items()]
    return f"<h2>Made with</h2>{table(('What', 'Value'), rows, numbers=())}"


def _seconds(value: float) -> str:
    return f"{value:,.2f}"


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _share_before(label: str, before: Sequence[Night]) -> float | None:
    scored = sum(night.scored for night in before)
    return _share(sum(night.labels.get(label, 0) for night in before), scored) if scored else None


def _scores_before(before: Sequence[Night]) -> dict[str, Counts]:
    found: dict[str, Counts] = {}
    for night in before:
        for label, counts in night.scores.items():
            found[label] = found[label] + counts if label in found else counts
    return found
