"""A brief says what has changed, on one page that asks for nothing."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import simplejpeg

from pipelines.briefs.facts import MAPPED_SITES
from pipelines.briefs.pictures import SITES_WITH_PICTURES
from pipelines.briefs.writing import MOST_BYTES, Request, make_brief
from pipelines.errors import UsageError
from schemas.tables import MODELS, RUNS
from schemas.verdict_table import VERDICTS
from tests.support.alert_rows import (
    add_rows,
    alert,
    change,
    many_alerts,
    unplaced,
    update,
    verdict,
    write_alerts,
)
from tests.support.pages import read
from tests.support.published_runs import at, commit_rows, publish, run_row, scored


def noise_jpg(seed: int = 0) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (256, 256, 3), np.uint8)
    return bytes(simplejpeg.encode_jpeg(noise, 90, "RGB"))


HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\u202e\n=1+1"
BEFORE, NOW = at(5), at(10)


@pytest.fixture
def output(tmp_path: Path) -> str:
    return str(tmp_path / "out")


def write(output: str, alerts: list[Any], old: tuple[str | None, ...] = (), **more: Any) -> None:
    """Alerts, of which some had a status before the last update (None: they are new)."""
    changes = []
    for row, status in zip(alerts, (*old, *[None] * (len(alerts) - len(old))), strict=True):
        path = {"low": ["low"], "dropped": ["low", "dropped"], "high": ["low", "high"]}
        path["ended"] = ["low", "high", "ended"]
        before = path[status] if status else []
        for step, name in enumerate(path[row["status"]], 1):
            published = BEFORE if step <= len(before) else NOW
            changes.append(change(row, name, published, step))
    updates = [update(1, BEFORE), update(2, NOW)]
    write_alerts(output, alerts, changes, updates, **more)


def text_of(page: str) -> str:
    return " ".join(" ".join(read(page).texts).split())


def section(page: str, title: str) -> str:
    """The text between a heading that begins with a title, and the next one."""
    parts = re.split(r"<h2[^>]*>", page)
    return text_of(next((part for part in parts if part.startswith(title)), ""))


def tiles(page: str) -> dict[str, str]:
    return dict(re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd>", page.split("<h2")[0]))


def map_of(page: str) -> Any:
    found = re.search(r'<script type="application/json" id="map-data">(.*?)</script>', page)
    return json.loads(found[1]) if found else None


def test_sites_are_told_apart_by_what_has_changed_since_the_update_before(output: str) -> None:
    statuses = ("low", "high", "high", "ended", "ended", "low", "ended")
    old = (None, None, "low", "high", None, "low", "ended")
    alerts = [alert(n, status=status) for n, status in enumerate(statuses)]
    write(output, alerts, old)
    brief = make_brief(output, Request())
    assert brief.since == BEFORE
    found = tiles(brief.page)
    names = ("new sites", "newly confirmed", "grown", "no longer seen", "open sites in all")
    assert [found[name] for name in names] == ["2", "1", "0", "2", "4"]
    assert found["hectares, open sites"] == "42"
    assert "Site 1" in section(brief.page, "Newly confirmed")
    assert brief.changed == 5


def test_a_site_with_a_new_cell_has_grown(output: str) -> None:
    first, second = alert(0), alert(1)
    write(output, [first, second | {"site_id": first["site_id"]}], ("low", None))
    page = make_brief(output, Request()).page
    assert tiles(page)["grown"] == "1"
    assert "21.0 hectares" in section(page, "Grown")


def test_a_site_that_is_seen_again_after_its_end_is_new(output: str) -> None:
    first, second = alert(0, status="ended"), alert(0) | {"alert_id": alert(1)["alert_id"]}
    write(output, [first, second | {"site_id": first["site_id"]}], ("ended", None))
    assert tiles(make_brief(output, Request()).page)["new sites"] == "1"


def test_since_a_day_counts_what_was_published_from_that_day_on(output: str) -> None:
    write(output, [alert(0), alert(1)], ("low", None))
    pages = [make_brief(output, Request(since=at(day))).page for day in (4, 6, 11)]
    assert [tiles(page)["new sites"] for page in pages] == ["2", "1", "0"]
    assert "Nothing has changed." in pages[2]


def test_the_first_brief_has_everything(output: str) -> None:
    row = alert(0)
    write_alerts(output, [row], [change(row, "low", NOW)], [update(1, NOW)])
    brief = make_brief(output, Request())
    assert brief.since is None
    assert "Everything found so far" in brief.page
    assert tiles(brief.page)["new sites"] == "1"


def test_a_card_says_what_an_officer_asks(output: str) -> None:
    park = shapely.box(-56, -7, -54, -5)
    row = alert(0, "artisinal_mine", "high", areas=["Jamanxim"], cloudy_looks=2)
    write(output, [row], areas={"Jamanxim": park})
    card = section(make_brief(output, Request()).page, "New: 1")
    for words in (
        "artisanal mine Site 1",
        "confirmed by several pictures",
        "2 July 2026, seen 3 times, hidden by cloud 2 times since",
        "10.5 hectares",
        "Jamanxim",
        "-6.00000, -55.00000",
    ):
        assert words in card


def test_no_word_is_only_for_people_who_run_the_project(output: str) -> None:
    write(output, [alert(n, "artisinal_mine", "high") for n in range(3)])
    for language in ("en", "es", "pt"):
        page = make_brief(output, Request(language=language)).page
        text = text_of(re.sub(r"<script.*?</script>|<style.*?</style>", "", page, flags=re.S))
        for word in ("PSI", "digest", "python", "model-1", "artisinal", "null", "None", "nan"):
            assert not re.search(rf"\b{word}\b", text), word
        assert f'<html lang="{language}">' in page


def test_a_brief_in_another_language_has_its_words_and_numbers(output: str) -> None:
    write(output, [alert(0, "slash_burn", area_ha=1234.5)])
    page = make_brief(output, Request(language="pt")).page
    assert "corte e queima" in page
    assert "1.234 hectares" in page
    assert "2 de julho de 2026" in page


def test_pictures_that_are_gone_are_said_to_be_gone(output: str, tmp_path: Path) -> None:
    (tmp_path / "after.jpg").write_bytes(noise_jpg())
    row = alert(0, after_uri=str(tmp_path / "after.jpg"))
    write(output, [row, alert(1, before_uri=None)])
    brief = make_brief(output, Request())
    assert brief.page.count("data:image/jpeg;base64,") == 1
    assert brief.page.count("The picture cannot be shown") == 2
    assert brief.page.count("There is no earlier picture.") == 1
    assert (brief.with_pictures, brief.without) == (2, 1)


def test_a_picture_that_was_replaced_is_not_shown_as_the_one_before(
    output: str, tmp_path: Path
) -> None:
    uri = str(tmp_path / "place.jpg")
    Path(uri).write_bytes(noise_jpg())
    write(output, [unplaced(alert(0, before_uri=uri, after_uri=uri))])
    page = make_brief(output, Request()).page
    assert page.count("data:image/jpeg;base64,") == 1
    assert page.count("The picture cannot be shown") == 1


def test_two_hundred_sites_have_pictures_and_fit_the_page(output: str, tmp_path: Path) -> None:
    (tmp_path / "noise.jpg").write_bytes(noise_jpg())  # nothing compresses worse
    uri = str(tmp_path / "noise.jpg")
    (tmp_path / "other.jpg").write_bytes(noise_jpg(seed=1))
    before = str(tmp_path / "other.jpg")
    write(output, [alert(n, before_uri=before, after_uri=uri) for n in range(230)])
    brief = make_brief(output, Request())
    assert brief.page.count('<article class="site"') == SITES_WITH_PICTURES == 200
    assert brief.page.count("data:image/jpeg;base64,") >= 200
    assert len(brief.page.encode()) <= MOST_BYTES
    assert "Without pictures: 30" in text_of(brief.page)


def test_labels_that_are_not_proven_are_apart_and_not_counted(output: str) -> None:
    write(output, [alert(0), alert(1, "slash_burn", proven=False)])
    page = make_brief(output, Request()).page
    assert tiles(page)["new sites"] == "1"
    assert "slash-and-burn" not in section(page, "New: 1")
    apart = section(page, "Not proven")
    assert "slash-and-burn clearing" in apart
    assert "They are in no number above" in apart
    assert [point[5] for point in map_of(page)["points"]] == [0, 1]  # the last is drawn on top


def test_trust_is_what_tests_say_and_what_officers_found(output: str) -> None:
    rows = [alert(n) for n in range(8)]
    write(output, rows)
    trusted = {
        "model_digest": "model-1",
        "thresholds_digest": "thresholds-1",
        "label": "road",
        "threshold": 0.5,
        "precision": 0.8,
        "precision_low": 0.6,
        "precision_high": 0.9,
        "proven": True,
    }
    commit_rows(output, MODELS, "r", [trusted])
    page = make_brief(output, Request()).page
    assert "80 of 100 (60 to 90)" in section(page, "How far to trust")
    assert "in tests, about 8 of 10 pictures given this label showed it" in page
    assert "false alarms" not in page  # tests do not say how many
    assert f"<code>{rows[0]['site_id']}</code>" in page
    verdicts = [verdict(row, "true" if n < 3 else "false") for n, row in enumerate(rows[:6])]
    add_rows(output, VERDICTS, [*verdicts, verdict(rows[7], "unclear")])
    page = make_brief(output, Request()).page
    # Wilson's interval of 3 of 6.
    assert "3 of 6 (19 to 81 of 100)" in section(page, "How far to trust")
    assert "officers found about 5 of 10 such sites right" in page
    assert "expect about 4 of 8 open sites to be false alarms" in page
    assert page.count("Checked: a false alarm (Ana, 9 July 2026)") == 3
    assert page.count("Checked: unclear") == 1


def test_labels_that_the_newest_run_never_reports_are_named(output: str) -> None:
    """Only those that alerts are about: here road, and not water."""
    write(output, [alert(0)])
    publish(output, "r", published_at=at(9))
    trusted = {"model_digest": "model-1", "thresholds_digest": "thresholds-1", "threshold": None}
    commit_rows(output, MODELS, "water", [trusted | {"label": "water"}])
    assert "never to report" not in make_brief(output, Request()).page
    commit_rows(output, MODELS, "road", [trusted | {"label": "road"}])
    page = text_of(make_brief(output, Request()).page)
    assert "The computer is set never to report: road. No alert of these kinds" in page
    page = text_of(make_brief(output, Request(language="pt")).page)
    assert "O computador está configurado para nunca assinalar: estrada." in page


def test_a_verdict_stays_with_its_place_label_and_time(output: str) -> None:
    moved = alert(0, first_detected=at(3, 14)) | {"alert_id": "other", "site_id": "other"}
    later = alert(1, first_detected=at(20, 14), last_looked=at(25))
    other = alert(2, "slash_burn")
    write(output, [moved, later, other])
    judged = [verdict(alert(0), "true"), verdict(alert(1), "true"), verdict(alert(2), "true")]
    add_rows(output, VERDICTS, judged)
    page = make_brief(output, Request()).page
    assert page.count("Checked: it is right") == 1


def test_clouds_are_counted_by_picture(output: str) -> None:
    write(output, [alert(0)])
    skies = ["cloudy"] * 3 + ["clear", "haze", "partly_cloudy"]
    late = [
        scored(f"/c/{n}.jpg", sky=sky, scored_at=at(9), observed_at=at(8))
        for n, sky in enumerate(skies)
    ]
    early = [scored("/c/early.jpg", sky="cloudy", scored_at=at(1), observed_at=at(1))]
    publish(output, "one", [*late, *early])
    publish(output, "two", late)  # a relabelling has the same pictures again
    commit_rows(output, RUNS, "two", [run_row(at(10), kind="relabel")])
    page = make_brief(output, Request()).page
    assert tiles(page)["of the new pictures hidden by cloud"] == "50 %"
    assert "Cloud hid the ground in 3 of the 6 pictures" in section(page, "What could not be seen")
    weeks = re.findall(r"<title>(week of [^<]*)</title>", page)
    assert {"week of 29 June 2026: 100 %", "week of 6 July 2026: 50 %"} <= set(weeks)


def test_clouds_of_an_area_are_those_over_it(output: str) -> None:
    write(output, [alert(0, areas=["Jamanxim"])], areas={"Jamanxim": shapely.box(-56, -7, -54, -5)})
    box = {"lat_min": -6.1, "lat_max": -6.0}
    inside = box | {"lon_min": -55.1, "lon_max": -55.0}
    outside = box | {"lon_min": -52.1, "lon_max": -52.0}
    rows = [
        scored("/c/a.jpg", sky="cloudy", scored_at=at(9), **inside),
        scored("/c/b.jpg", scored_at=at(9), **inside),
        scored("/c/c.jpg", scored_at=at(9), **inside),
        *(scored(f"/c/{n}.jpg", sky="cloudy", scored_at=at(9), **outside) for n in range(5)),
        scored("/c/nowhere.jpg", sky="cloudy", scored_at=at(9)),
    ]
    publish(output, "one", rows)
    page = make_brief(output, Request(area="Jamanxim")).page
    assert "Cloud hid the ground in 1 of the 3 pictures" in page
    assert "Area: Jamanxim" in page


def test_without_labels_of_the_sky_nothing_is_claimed_about_cloud(output: str) -> None:
    write(output, [alert(0)])
    publish(output, "one", [scored("/c/a.jpg", sky=None, scored_at=at(9))])
    page = make_brief(output, Request()).page
    assert "It is not known which pictures were hidden by cloud." in page


def test_an_area_has_only_the_sites_that_touch_it(output: str) -> None:
    alerts = [alert(0, areas=["A"]), alert(1, areas=["B"]), alert(2, areas=["A", "B"])]
    shapes = {name: shapely.box(-56, -7, -54, -5) for name in ("A", "B", "C")}
    write(output, alerts, areas=shapes)
    assert tiles(make_brief(output, Request(area="A")).page)["new sites"] == "2"
    empty = make_brief(output, Request(area="C")).page
    assert "There are no alerts in this area." in empty


def test_no_alerts_at_all_is_a_brief_that_says_so(output: str) -> None:
    write_alerts(output, [], [], [update(1, NOW, looks=0)])
    page = make_brief(output, Request()).page
    assert "There are no alerts." in page
    assert "There are no satellite pictures yet." in page
    assert map_of(page) is None


def test_sites_without_a_position_are_listed_and_not_on_the_map(output: str) -> None:
    write(output, [unplaced(alert(0)), alert(1)])
    page = make_brief(output, Request()).page
    assert "One site has no known position and is not on the map." in page
    assert len(map_of(page)["points"]) == 1
    assert "Size not known" in section(page, "New: 2")


def test_without_any_position_there_is_no_map(output: str) -> None:
    write(output, [unplaced(alert(n)) for n in range(2)])
    page = make_brief(output, Request()).page
    assert "No site has a known position, so there is no map." in page
    assert map_of(page) is None


def test_dropped_and_retracted_alerts_are_counted(output: str) -> None:
    dropped, gone = alert(0, status="dropped"), alert(1)
    changes = [
        change(dropped, "low", BEFORE),
        change(dropped, "dropped", NOW, 2),
        change(gone, "low", BEFORE),
        change(gone, "retracted", NOW, 2),
        change(alert(2), "low", BEFORE),
    ]
    write_alerts(output, [dropped, alert(2)], changes, [update(1, BEFORE), update(2, NOW)])
    page = make_brief(output, Request()).page
    assert "2 alerts were not seen again, or were corrected" in page


def test_hostile_names_are_text(output: str) -> None:
    row = alert(0, HOSTILE, areas=[HOSTILE], after_uri=HOSTILE)
    write(output, [row], areas={HOSTILE: shapely.box(-56, -7, -54, -5)})
    add_rows(output, VERDICTS, [verdict(row, "true", who=HOSTILE)])
    page = make_brief(output, Request(area=HOSTILE)).page
    scripts = re.findall(r"<script[^>]*>", page)
    assert scripts == ['<script type="application/json" id="map-data">', "<script>"]
    assert "<img src=x" not in page
    assert "\u202e" not in page
    assert map_of(page)["labels"][0].startswith("</script>")


def test_sites_on_both_sides_of_180_degrees_are_close_on_the_map(output: str) -> None:
    west = alert(0, longitude=179.9, latitude=-17.0)
    east = alert(1, longitude=-179.9, latitude=-17.0)
    write(output, [west, east])
    data = map_of(make_brief(output, Request()).page)
    assert data["box"] == [179.9, -17.0, 180.1, -17.0]
    assert sorted(point[1] for point in data["points"]) == [179.9, 180.1]


def test_away_from_180_degrees_longitudes_are_never_turned(output: str) -> None:
    # Adding 360 rounds, so that one of the two widths may seem the smaller one.
    longitudes = [-55.27939, -55.254132, -55.23, -55.22728]
    write(output, [alert(n, longitude=x, latitude=-6.5) for n, x in enumerate(longitudes)])
    data = map_of(make_brief(output, Request()).page)
    assert data["box"] == [-55.27939, -6.5, -55.22728, -6.5]


def test_half_a_million_alerts_are_grouped_and_what_is_left_out_is_said(output: str) -> None:
    many_alerts(output, 500_000, NOW)
    brief = make_brief(output, Request())
    assert tiles(brief.page)["new sites"] == "500,000"
    assert "499,500 more sites are not in this list." in brief.page
    data = map_of(brief.page)
    assert len(data["points"]) == MAPPED_SITES == 10_000
    assert sum(sites for _, _, sites in data["groups"]) == 490_000
    assert "490,000 others as grey circles" in brief.page
    assert len(brief.page.encode()) <= MOST_BYTES


def test_before_any_update_there_is_a_usage_error(output: str) -> None:
    with pytest.raises(UsageError, match="has no alerts: if the address is right, run python"):
        make_brief(output, Request())
