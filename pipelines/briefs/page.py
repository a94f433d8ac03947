"""A brief, section by section: one HTML page that needs no other file and no network."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib.resources import files

from pipelines.blocks import document as doc
from pipelines.blocks.html import block_html, page_style, render_page, text_html
from pipelines.briefs import cards, figures
from pipelines.briefs.facts import CHANGES, UNCHANGED, BriefFacts, Trust
from pipelines.briefs.figures import heading, paragraph
from pipelines.briefs.languages import Language
from pipelines.briefs.map_data import COLOURS, OnMap
from pipelines.briefs.pictures import Pair
from schemas.alert_tables import ENDED

_SOURCE_MAP = re.compile(r"\n?//# sourceMappingURL=\S*\s*$")
_IMAGES = re.compile(r"url\([^)]*\)")
_FEWEST_SITES = 5  # of which a number of false alarms means something
_NO_PAIR = Pair(None, None)
_NO_TRUST = Trust()


def render_brief(
    words: Language,
    facts: BriefFacts,
    numbers: Mapping[str, int],
    pictures: Mapping[str, Pair],
    on_map: OnMap | None,
    now: datetime,
) -> str:
    """The page.

    Args:
        numbers: the number of each site that has a card, by site_id.
        pictures: by site_id.
        on_map: see `pipelines.briefs.map_data.draw_map`.
    """
    title = words.say("title", date=words.day(now.date()))
    parts = [
        f"<h1>{text_html(title)}</h1>",
        *_top(words, facts),
        *_map(words, facts, on_map),
        *_sites(words, facts, numbers, pictures, shown=True),
        *figures.totals(words, facts),
        *figures.cloud(words, facts),
        *figures.trust(words, facts),
        *_unproven(words, facts, numbers, pictures),
        *_foot(words, now),
    ]
    body = "\n".join(["<main>", *parts, "</main>"])
    style = page_style() + _IMAGES.sub("none", _file("vendor/leaflet.css")) + _file("brief.css")
    return render_page(title, style, body, _script(), words.code)


def _script() -> str:
    """Leaflet and what draws the map, with the licences of what is in the page."""
    names = ("leaflet", "world-atlas")
    licences = "\n".join(_file(f"vendor/{name}-licence.txt") for name in names)
    leaflet = _SOURCE_MAP.sub("", _file("vendor/leaflet.js"))
    return f"/*\n{licences}*/\n{leaflet}\n{_file('map.js')}"


def _file(name: str) -> str:
    return files("pipelines.briefs").joinpath(*name.split("/")).read_text("utf-8")


def _top(words: Language, facts: BriefFacts) -> Iterator[str]:
    if facts.area is not None:
        yield paragraph(words.say("area", area=facts.area), "lead")
    if facts.as_of is None:
        yield paragraph(words.say("no_pictures"), "lead")
    elif facts.since is None:
        yield paragraph(words.say("since_start", as_of=words.day(facts.as_of.date())), "lead")
    else:
        yield paragraph(
            words.say(
                "since", date=words.day(facts.since.date()), as_of=words.day(facts.as_of.date())
            ),
            "lead",
        )
    if not facts.totals:
        nothing = words.say("no_alerts" if facts.area is None else "no_alerts_area")
        yield block_html(doc.Note([doc.Strong(nothing)], [words.say("no_alerts_why")], "neutral"))
    tiles: list[tuple[str, int | str]] = [
        (words.say(f"tile_{name}"), words.number(facts.count(name)))
        for name in ("new", "confirmed", "grown", "ended", "open")
    ]
    tiles.append((words.say("tile_hectares"), words.number(facts.count("hectares"))))
    clouds = facts.clouds
    if clouds.known and clouds.new.pictures:
        share = clouds.new.hidden / clouds.new.pictures
        tiles.append((words.say("tile_hidden"), words.share(share)))
    yield block_html(doc.Tiles(tiles))
    yield from _warnings(words, facts)
    yield paragraph(words.say("what_it_is"), "quiet")


def _warnings(words: Language, facts: BriefFacts) -> Iterator[str]:
    shares = {label: trust.share for label, trust in facts.trust.items()}
    known = [
        (row["open"], share)
        for row in facts.totals
        if row["shown"] and row["open"] and (share := shares.get(row["label"])) is not None
    ]
    count = sum(number for number, _ in known)
    if count >= _FEWEST_SITES:
        wrong = sum(number * (1 - share) for number, share in known)
        yield paragraph(words.say("false_alarms", n=count, wrong=words.number(wrong)))
    if facts.withdrawn:
        text = words.say("withdrawn", n=facts.withdrawn)
        yield paragraph(f"{text[0].upper()}{text[1:]}.")
    if facts.never:
        yield paragraph(words.say("never", labels=", ".join(map(words.label, facts.never))))


def _map(words: Language, facts: BriefFacts, on_map: OnMap | None) -> Iterator[str]:
    if not facts.placed + facts.unplaced:
        return
    yield heading(words.say("map"))
    if on_map is None:
        yield paragraph(words.say("map_none"))
        return
    script = text_html(words.say("map_script"))
    yield f'<div id="map"></div><p class="no-script">{script}</p>'
    marks = "".join(
        f'<li><i style="background:{COLOURS[n % len(COLOURS)]}"></i>'
        f"{text_html(words.label(label))}</li>"
        for n, label in enumerate(facts.labels)
    )
    note = paragraph(words.say("map_note"), "quiet")
    legend = f'<div><ul class="legend">{marks}</ul>{note}</div>'
    yield f'<div class="columns">{legend}{block_html(on_map.locator)}</div>'
    if facts.grouped:
        mapped = facts.placed - facts.grouped
        yield paragraph(words.say("map_grouped", n=mapped, rest=words.number(facts.grouped)))
    if facts.unplaced:
        yield paragraph(words.say("map_unplaced", n=facts.unplaced))
    yield f'<script type="application/json" id="map-data">{on_map.data}</script>'


def _sites(
    words: Language,
    facts: BriefFacts,
    numbers: Mapping[str, int],
    pictures: Mapping[str, Pair],
    shown: bool,
) -> Iterator[str]:
    """The sites that have changed, with their pictures, and the open ones that have not."""
    rows = [row for row in facts.totals if row["shown"] is shown]
    changed = {name: sum(row[name] for row in rows) for name in CHANGES}
    if facts.totals and shown and not any(changed.values()):
        yield paragraph(words.say("nothing_new"), "lead")
    counts = changed | {UNCHANGED: sum(row["unchanged"] for row in rows)}
    for name, count in counts.items():
        if not count:
            continue
        here = [s for s in facts.sites if s["change"] == name and s["shown"] is shown]
        with_card = [site for site in here if site["site_id"] in numbers]
        others = [site for site in here if site["site_id"] not in numbers]
        title = f"{words.say(f'change_{name}')}: {words.number(count)}"
        yield heading(title, 2 if shown else 3)
        made = (
            cards.card(
                words,
                numbers[site["site_id"]],
                site,
                facts.trust.get(site["label"], _NO_TRUST),
                pictures.get(site["site_id"], _NO_PAIR),
            )
            for site in with_card
        )
        yield f'<div class="sites">{"".join(made)}</div>' if with_card else ""
        if others:
            table = doc.TableBlock(cards.head(words), [cards.row(words, site) for site in others])
            summary = f"{words.say('more_sites')}: {words.number(len(others))}"
            yield f"<details><summary>{text_html(summary)}</summary>{block_html(table)}</details>"
        if missing := count - len(here):
            yield paragraph(words.say("left_out", n=missing), "quiet")


def _unproven(
    words: Language,
    facts: BriefFacts,
    numbers: Mapping[str, int],
    pictures: Mapping[str, Pair],
) -> Iterator[str]:
    rows = [row for row in facts.totals if not row["shown"]]
    if not rows:
        return
    yield heading(words.say("unproven"))
    yield paragraph(words.say("unproven_means"))
    yield figures.totals_table(words, rows)
    yield from _sites(words, facts, numbers, pictures, shown=False)


def _foot(words: Language, now: datetime) -> Iterator[str]:
    yield heading(words.say("words"))
    explained = [words.say(f"word_{key}") for key in ("site", "confirmed", ENDED)]
    yield block_html(doc.Bullets(explained))
    yield paragraph(words.say("made", date=words.day(now.date()), time=f"{now:%H:%M}"), "quiet")
