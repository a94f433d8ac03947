"""A site on the page: its card with pictures, and its row in the lists."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.blocks import document as doc
from pipelines.blocks.html import text_html
from pipelines.briefs.facts import Trust
from pipelines.briefs.languages import Language
from pipelines.briefs.pictures import Pair
from schemas.alert_tables import ENDED

Site = Mapping[str, Any]
_MOST_AREAS = 6
_MOST_LETTERS = 120  # of a name in the data


def card(words: Language, number: int, site: Site, trust: Trust, pair: Pair) -> str:
    """A site with its pictures, as HTML."""
    label = words.label(site["label"])
    facts = [
        (words.say("confidence"), _confidence(words, site, trust)),
        (words.say("first_seen"), first_seen(words, site)),
        (words.say("last_seen"), words.day(site["last_seen"].date())),
        (words.say("size"), _size(words, site)),
        (words.say("areas"), _areas(words, site)),
    ]
    rows = "".join(
        f"<div><dt>{text_html(name)}</dt><dd>{text_html(text)}</dd></div>" for name, text in facts
    )
    where = text_html(words.say("position"))
    name = text_html(words.say("site_id"))
    place = (
        f"<div><dt>{where}</dt><dd>{_position(words, site)}</dd></div>"
        f"<div><dt>{name}</dt><dd><code>{text_html(site['site_id'])}</code></dd></div>"
    )
    return (
        f'<article class="site" id="site-{number}">'
        f"<h4>{text_html(_short(label))} <span>{text_html(words.say('site'))} {number}</span></h4>"
        f"{_badges(words, site)}{_pictures(words, site, pair)}<dl>{rows}{place}</dl></article>"
    )


def row(words: Language, site: Site) -> list[doc.Cell]:
    """A site as a row of a table; `head` names its columns."""
    where = position(site)
    return [
        _short(words.label(site["label"])),
        words.say(f"status_{site['status']}"),
        first_seen(words, site),
        _size(words, site),
        _areas(words, site),
        doc.Code(where) if where else words.say("position_unknown"),
    ]


def head(words: Language) -> Sequence[str]:
    """The names of the columns of `row`."""
    keys = ("what", "confidence", "first_seen", "size", "areas", "position")
    return [words.say(key) for key in keys]


def position(site: Site) -> str:
    """Latitude and longitude, as map applications take them; "" if they are not known."""
    if site["latitude"] is None:
        return ""
    return f"{site['latitude']:.5f}, {site['longitude']:.5f}"


def first_seen(words: Language, site: Site) -> str:
    """When a site was first seen, how often, and how often cloud was in the way."""
    parts = [words.day(site["first_detected"].date()), words.say("seen_times", n=site["positives"])]
    if site["cloudy"] and site["status"] != ENDED:
        parts.append(words.say("cloud_times", n=site["cloudy"]))
    return ", ".join(parts)


def _confidence(words: Language, site: Site, trust: Trust) -> str:
    status = words.say(f"status_{site['status']}")
    share, key = trust.share, "right_of_ten"
    if share is None:
        share, key = trust.precision, "right_in_tests"
    if share is None:
        return f"{status}; {words.say('right_unknown')}"
    # All of some pictures are not all: "10 of 10" would claim too much.
    return f"{status}; {words.say(key, n=words.number(min(9, 10 * share)))}"


def _size(words: Language, site: Site) -> str:
    hectares = site["area_ha"]
    return words.say("size_unknown") if hectares is None else words.size(hectares)


def _areas(words: Language, site: Site) -> str:
    names = [_short(name) for name in site["areas"] or ()]
    more = [f"+ {len(names) - _MOST_AREAS}"] if len(names) > _MOST_AREAS else []
    return ", ".join([*names[:_MOST_AREAS], *more]) or words.say("no_area")


def _badges(words: Language, site: Site) -> str:
    badges = [] if site["shown"] else [("", words.say("unproven_badge"))]
    if verdict := site["verdict"]:
        said = words.say(f"checked_{verdict['verdict']}")
        by = words.say(
            "checked_by",
            who=_short(verdict["who"] or "-"),
            date=words.day(verdict["judged_at"].date()),
        )
        badges.append((verdict["verdict"], f"{said} ({by})"))
    return "".join(f'<p class="badge {kind}">{text_html(text)}</p>' for kind, text in badges)


def _pictures(words: Language, site: Site, pair: Pair) -> str:
    missing = words.say("gone")
    before = missing if site["before_uri"] else words.say("none_before")
    figures = (
        _figure(words.say("before"), pair.before, before),
        _figure(words.say("after"), pair.after, missing),
    )
    return f'<div class="pair">{"".join(figures)}</div>'


def _figure(name: str, jpeg: bytes | None, missing: str) -> str:
    if jpeg is None:
        picture = f'<div class="missing">{text_html(missing)}</div>'
    else:
        data = base64.b64encode(jpeg).decode("ascii")
        picture = f'<img src="data:image/jpeg;base64,{data}" alt="{text_html(name)}">'
    return f"<figure>{picture}<figcaption>{text_html(name)}</figcaption></figure>"


def _position(words: Language, site: Site) -> str:
    where = position(site)
    if not where:
        return text_html(words.say("position_unknown"))
    copy, copied = (text_html(words.say(key)) for key in ("copy", "copied"))
    return (
        f"<code>{where}</code>"
        f'<button type="button" hidden data-copy="{where}" data-copied="{copied}">{copy}</button>'
    )


def _short(text: str) -> str:
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]}..."
