"""A night's report, section by section."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines.blocks import document as doc
from pipelines.blocks.html import render_html
from pipelines.drift.checks import Night
from pipelines.drift.verdicts import Finding, read_findings, worst_first
from pipelines.reports.charts import score_histogram, share_bar
from pipelines.reports.facts import Example, ReportFacts
from pipelines.reports.nights import add_up, chips_done
from pipelines.reports.proof import TRUST_HEAD, left_out, trust_cells
from pipelines.reports.thumbnails import Thumbnail
from pipelines.wording import count_of
from schemas.tables import FAILED, HELD, PUBLISHED, WITHDRAWN, QuarantineReason

# PSI below this share of its limit means no change: 0.1 if the limit is 0.25.
_NOTABLE = 0.4
_VERDICTS = {"good": "Good", "bad": "Bad", None: "Not judged"}
_TIME = "%Y-%m-%d %H:%M UTC"
_COUNTS = ("listed", "skipped", "left_over", "scored", "no_data", "quarantined")


def render_report(facts: ReportFacts, thumbnails: Mapping[str, Thumbnail]) -> str:
    """The page.

    Args:
        thumbnails: pictures of the chips in `facts.rare`, by address.
    """
    record = facts.record
    title = f"Night of {record['run_date']}, run {record['run_id']}"
    blocks = [
        _verdict(record),
        *_counts(facts),
        *_labels(facts),
        *_scores(facts),
        *_quarantine(facts),
        *_rare(facts, thumbnails),
        *_durations(record),
        *_provenance(record),
    ]
    return render_html(doc.Document(title, blocks, has_contents=False))


def _verdict(record: Mapping[str, Any]) -> doc.Note:
    verdict = record["verdict"]
    findings = read_findings(record["findings"])
    others = [f for f in findings if not f.bad and (f.note or _is_notable(f))]
    points = [f"bad: {f.text}" if f.bad else f.text for f in (*worst_first(findings), *others)]
    text = [doc.Strong(_VERDICTS[verdict]), *doc.parts_of(_state(record))]
    return doc.Note(text, points, verdict or "neutral")


def _state(record: Mapping[str, Any]) -> doc.Text:
    status, reason = record["status"], record["reason"]
    if status == PUBLISHED:
        held = record.get("held_at")
        before = f", after it was held at {held:{_TIME}}" if held else ""
        return f", published at {record['published_at']:{_TIME}}{before}"
    if status == HELD:
        command = f"python -m beam_jobs.publish --output URI --run_id {record['run_id']}"
        return [", held: nothing is published. To publish it anyway: ", doc.Code(command)]
    between = " " if status == WITHDRAWN else ": "  # it begins with the time
    return f", {status}{between}{reason}" if reason else f", {status}"


def _is_notable(finding: Finding) -> bool:
    return finding.check == "psi" and (finding.value or 0) >= _NOTABLE * (finding.limit or 1)


def _counts(facts: ReportFacts) -> Iterator[doc.Block]:
    record = facts.record
    yield doc.Heading("Chips")
    counts = [name for name in _COUNTS if record.get(name) is not None]
    yield doc.Tiles([(name.replace("_", " "), record[name]) for name in counts])
    if windows := record.get("no_data"):
        share = json.loads(record["options"]).get("max_no_data", 1)
        yield doc.Paragraph(
            f"{count_of(windows, 'window')} {'was' if windows == 1 else 'were'} not scored, "
            f"because more than {share:.0%} of the pixels are no data."
        )
    if facts.before:
        head = ("Night", "Run", "Chips to score", "Scored", "Quarantined", "No data", "Faulty")
        rows = [_night_row(night) for night in (facts.night, *facts.before)]
        yield doc.TableBlock(head, rows, numbers={6})
    findings = [f.text for f in read_findings(record["findings"]) if f.check != "psi"]
    if findings:
        yield doc.Paragraph("; ".join(findings))


def _night_row(night: Night) -> list[doc.Cell]:
    share = f"{_share(night.faulty, night.with_data):.2%}" if night.chips else None
    counts = [night.chips, night.scored, night.quarantined, night.no_data]
    return [night.run_date, night.run_id, *counts, share]


def _labels(facts: ReportFacts) -> Iterator[doc.Block]:
    night, before = facts.night, facts.before
    if not night.scored:
        yield from (doc.Heading("Labels"), doc.Paragraph("No chip was scored."))
        return
    if facts.record["status"] == WITHDRAWN:
        yield from (doc.Heading("Labels"), doc.Paragraph("The run's scores were removed."))
        return
    yield doc.Heading("Labels")
    compared = f"the {count_of(len(before), 'night')} before" if before else "no earlier night"
    yield doc.Paragraph(
        f"Share of the scored chips that carry each label, compared with {compared}. The "
        "population stability index (PSI) compares the scores and does not depend on thresholds: "
        "below 0.1 nothing has changed. With only a few dozen chips it is larger by chance, and "
        "its limit is raised to match. A label whose threshold is null is never reported: it may "
        "be there all the same."
    )
    shown = [label for label in night.scores if label not in facts.left_out]
    now = {label: _share(night.labels.get(label, 0), night.scored) for label in shown}
    scored, carried = sum(night.scored for night in before), add_up(before).labels
    then = {label: carried[label] / scored if scored else None for label in shown}
    most = max([*now.values(), *(share or 0 for share in then.values())], default=0)
    psi = {f.label: f for f in read_findings(facts.record["findings"]) if f.check == "psi"}
    rows = [
        [
            label,
            night.labels.get(label, 0),
            *(
                ["never reported", None, None, None]
                if facts.is_never(label)
                else _shares(now[label], then[label], most)
            ),
            _psi_cell(psi.get(label)),
            *trust_cells(facts, label),
        ]
        for label in shown
    ]
    head = ("Label", "Chips", "Share", "Before", "Points", "Share, | before", "PSI / limit")
    yield doc.TableBlock((*head, *TRUST_HEAD), rows, numbers={2, 3, 4, 6})
    yield from left_out(facts)


def _shares(now: float, before: float | None, most: float) -> list[doc.Cell]:
    bar = share_bar(now, before, most)
    if before is None:
        return [f"{now:.1%}", None, None, bar]
    return [f"{now:.1%}", f"{before:.1%}", f"{100 * (now - before):+.1f}", bar]


def _psi_cell(finding: Finding | None) -> doc.Cell:
    if finding is None or finding.value is None:
        return None
    limit = "" if finding.limit is None else f" / {finding.limit:.2f}"
    text = f"{finding.value:.3f}{limit}"
    return doc.Strong(f"{text} bad") if finding.bad else text


def _scores(facts: ReportFacts) -> Iterator[doc.Block]:
    if not facts.night.scored or facts.record["status"] == WITHDRAWN:
        return
    before = add_up(facts.before).scores
    yield doc.Heading("Scores")
    yield doc.Paragraph(
        "Bars: shares of this night's scores by bin; bins are narrow at both ends, and a bar's "
        "height is the square root of its share. Line: the nights before."
    )
    scores = facts.night.scores
    shown = [label for label in scores if label not in facts.left_out]
    yield doc.Grid([score_histogram(name, scores[name], before.get(name)) for name in shown])


def _quarantine(facts: ReportFacts) -> Iterator[doc.Block]:
    yield doc.Heading("Quarantine")
    counts = json.loads(facts.record["quarantined_by_reason"] or "{}")
    if facts.record["status"] == FAILED:
        yield doc.Paragraph("Nothing was published. Staged rows are kept for some days.")
    elif not counts:
        yield doc.Paragraph("No chip was quarantined.")
    for reason, count in counts.items():
        some = facts.rejected.get(reason, [])
        chips: list[doc.Text] = [[doc.Code(chip.chip_uri), f" {chip.message}"] for chip in some]
        more = [f"and {count - len(some):,} more"] if count > len(some) else []
        yield doc.Heading(f"{reason}: {count:,} of {facts.night.chips:,}", 3)
        yield doc.Paragraph(_meaning(reason))
        yield doc.Bullets([*chips, *more])


def _meaning(reason: str) -> str:
    known = next((known for known in QuarantineReason if known.value == reason), None)
    if known is None:  # of a newer version
        return ""
    kind = (
        "permanent: not tried again" if known.permanent else "temporary: the next run tries again"
    )
    return f"{known.description}; {kind}"


def _rare(facts: ReportFacts, thumbnails: Mapping[str, Thumbnail]) -> Iterator[doc.Block]:
    if not facts.rare:
        return
    yield doc.Heading("Rarest labels")
    yield doc.Paragraph("For each label, the chips with the highest scores.")
    for label, chips in facts.rare.items():
        yield doc.Heading(f"{label}: {facts.night.labels[label]:,}", 3)
        yield doc.Grid([_chip(chip, thumbnails.get(chip.chip_uri)) for chip in chips])


def _chip(chip: Example, thumbnail: Thumbnail | None) -> doc.Picture:
    caption: doc.Text = [f"{chip.score:.3f} ", doc.Code(chip.chip_uri)]
    if thumbnail is None or thumbnail.jpeg is None:
        return doc.Picture(None, caption, thumbnail.missing if thumbnail else "not read")
    return doc.Picture(thumbnail.jpeg, caption, "the chip")


def _durations(record: Mapping[str, Any]) -> Iterator[doc.Block]:
    stages = json.loads(record["stage_seconds"] or "{}")
    seconds = {
        "listing and planning": record["plan_seconds"],
        "scoring, from the start of the engine to the last chip": record["score_seconds"],
        **{f"of that {name}, all workers together": value for name, value in stages.items()},
    }
    done = chips_done(record)
    rate = (
        f"{done / max(record['score_seconds'], 1e-3):,.1f} chips a second" if done else "No chips"
    )
    read = f", {record['bytes_read'] / 1e6:,.1f} MB read" if record["bytes_read"] else ""
    rows = [[name, f"{value:,.2f}"] for name, value in seconds.items()]
    yield doc.Heading("Durations")
    yield doc.TableBlock(("What", "Seconds"), rows, numbers={1})
    yield doc.Paragraph(f"{rate}{read}.")


def _provenance(record: Mapping[str, Any]) -> Iterator[doc.Block]:
    known = {
        "kind": record["kind"],
        "model": record["model_digest"],
        "thresholds": record["thresholds_digest"],
        **json.loads(record["options"]),
        "precision": record["precision"],
        "engine": record.get("engine"),
        **json.loads(record["versions"]),
    }
    rows: list[list[doc.Cell]] = [[name, _setting(value)] for name, value in known.items()]
    yield doc.Heading("Made with")
    yield doc.TableBlock(("What", "Value"), rows)


def _setting(value: Any) -> doc.Cell:
    text = _plain(value)
    return doc.Code(text) if text else None


def _plain(value: Any) -> str:
    """A setting in words; "" if it is not set."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(each) or doc.NOTHING}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
