"""The figures of a brief: totals, clouds, and how far each label can be trusted."""

from collections.abc import Iterator, Mapping
from datetime import date, timedelta

from pipelines.blocks import document as doc
from pipelines.blocks.html import block_html, text_html
from pipelines.briefs.charts import week_bars
from pipelines.briefs.clouds import WEEKS as CLOUD_WEEKS
from pipelines.briefs.clouds import monday
from pipelines.briefs.facts import CHANGES, WEEKS, BriefFacts, Trust
from pipelines.briefs.languages import Language

_NO_TRUST = Trust()


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of a class of the style, as HTML."""
    return f'<p class="{kind}">{text_html(text)}</p>' if kind else f"<p>{text_html(text)}</p>"


def heading(text: str, level: int = 2) -> str:
    """A heading, as HTML."""
    return f"<h{level}>{text_html(text)}</h{level}>"


def totals(words: Language, facts: BriefFacts) -> Iterator[str]:
    """Sites by label, and by label and week."""
    rows = [row for row in facts.totals if row["shown"]]
    if not rows:
        return
    yield heading(words.say("totals"))
    yield totals_table(words, rows)
    if facts.as_of is None:
        return
    last = monday(facts.as_of.date())
    weeks = [last - timedelta(weeks=n) for n in reversed(range(WEEKS))]
    yield paragraph(words.say("by_week", date=words.day(last)))
    charts = [_label_weeks(words, row["label"], facts.weeks, weeks) for row in rows]
    yield block_html(doc.Grid(charts))


def totals_table(words: Language, rows: list[Mapping[str, int | str]]) -> str:
    """Rows of `BriefFacts.totals` as a table."""
    names = (*CHANGES, "open", "sites", "hectares")
    keys = [*(f"change_{name}" for name in CHANGES), "open", "total", "tile_hectares"]
    head = [words.say("what"), *(words.say(key) for key in keys)]
    cells: list[list[doc.Cell]] = [
        [words.label(str(row["label"])), *(words.number(float(row[name])) for name in names)]
        for row in rows
    ]
    return block_html(doc.TableBlock(head, cells, numbers=set(range(1, len(head)))))


def _label_weeks(
    words: Language, label: str, counts: Mapping[str, Mapping[date, int]], weeks: list[date]
) -> doc.Svg:
    values = [counts.get(label, {}).get(week, 0) for week in weeks]
    texts = [
        f"{words.say('week_of', date=words.day(week))}: {words.number(value)}"
        for week, value in zip(weeks, values, strict=True)
    ]
    ends = (words.day(weeks[0]), words.day(weeks[-1]))
    caption = doc.visible(words.label(label))
    return week_bars(values, texts, words.number(max(values)), ends, caption)


def cloud(words: Language, facts: BriefFacts) -> Iterator[str]:
    """How much clouds hid."""
    clouds = facts.clouds
    yield heading(words.say("cloud"))
    if not clouds.new.pictures:
        yield paragraph(words.say("cloud_none"))
    elif not clouds.known:
        yield paragraph(words.say("cloud_unknown"))
    else:
        hidden, pictures = clouds.new.hidden, clouds.new.pictures
        share = words.share(hidden / pictures)
        yield paragraph(
            words.say("cloud_share", hidden=words.number(hidden), n=pictures, share=share)
        )
    if clouds.known and clouds.weeks and facts.as_of:
        last = monday(facts.as_of.date())
        weeks = [last - timedelta(weeks=n) for n in reversed(range(CLOUD_WEEKS))]
        seen = [clouds.weeks.get(week) for week in weeks]
        shares = [each.hidden / each.pictures if each and each.pictures else 0.0 for each in seen]
        texts = [
            f"{words.say('week_of', date=words.day(week))}: {words.share(share)}"
            for week, share in zip(weeks, shares, strict=True)
        ]
        ends = (words.day(weeks[0]), words.day(weeks[-1]))
        caption = words.say("cloud_by_week")
        chart = week_bars(shares, texts, words.share(max(shares)), ends, caption)
        yield block_html(doc.Grid([chart]))
    yield paragraph(words.say("cloud_means"), "quiet")


def trust(words: Language, facts: BriefFacts) -> Iterator[str]:
    """How often each label is right."""
    labels = [row["label"] for row in facts.totals if row["shown"]]
    if not labels:
        return
    yield heading(words.say("trust"))
    rows: list[list[doc.Cell]] = []
    for label in labels:
        trust = facts.trust.get(label, _NO_TRUST)
        rows.append([words.label(label), _in_tests(words, trust), _checked(words, trust)])
    head = [words.say(key) for key in ("what", "trust_tests", "trust_checked")]
    yield block_html(doc.TableBlock(head, rows))
    yield paragraph(words.say("trust_means"), "quiet")


def _in_tests(words: Language, trust: Trust) -> str:
    if trust.precision is None:
        return words.say("trust_unknown")
    hundred = words.number(100 * trust.precision)
    if trust.low is None or trust.high is None:
        return words.say("trust_share", n=hundred)
    low, high = words.number(100 * trust.low), words.number(100 * trust.high)
    return words.say("trust_range", n=hundred, low=low, high=high)


def _checked(words: Language, trust: Trust) -> str:
    if trust.measured is None:
        return words.say("trust_none")
    low, high = (words.number(100 * end) for end in trust.measured)
    right = words.number(trust.right)
    return words.say("trust_count_range", right=right, n=trust.judged, low=low, high=high)
