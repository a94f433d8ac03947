"""A brief in a browser without a network: what it asks for, how fast it draws, and what a phone and
a printer make of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import shapely

from beam_jobs.brief import main as brief_command
from pipelines.commands import exit_code
from tests.support.alert_rows import alert, change, many_alerts, update, write_alerts
from tests.support.browser import Browser, needs_chromium, open_browser
from tests.support.published_runs import at
from tests.support.samples import jpg_bytes

pytestmark = [pytest.mark.browser, needs_chromium]

DRAWN = "document.documentElement.dataset.drawnMs"
PHONE_PX = 390
PIXELS = """(() => {
  const canvas = document.querySelector('#map canvas');
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  const found = [];
  for (let i = 0; i < data.length; i += 4)
    if (Math.abs(data[i] - 213) < 12 && Math.abs(data[i + 1] - 94) < 12 && data[i + 2] < 30)
      found.push([i / 4 % canvas.width, Math.floor(i / 4 / canvas.width)]);
  const box = canvas.getBoundingClientRect();
  return found.map(([x, y]) => [
    box.left + x * box.width / canvas.width, box.top + y * box.height / canvas.height]);
})()"""
"""Where the colour of the first label is, in the window."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


def write_brief(folder: Path) -> Path:
    page = folder / "brief.html"
    arguments = ["--output", str(folder / "out"), "--to", str(page)]
    assert exit_code(brief_command, arguments) == 0
    return page


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A brief of ten sites with pictures, in a park."""
    (tmp_path / "a.jpg").write_bytes(jpg_bytes((40, 90, 40)))
    (tmp_path / "b.jpg").write_bytes(jpg_bytes((160, 110, 60)))
    uris = {"before_uri": str(tmp_path / "a.jpg"), "after_uri": str(tmp_path / "b.jpg")}
    alerts = [alert(n, status="high", areas=["Park"], **uris) for n in range(10)]
    changes = [change(row, "low", at(9)) for row in alerts]
    changes += [change(row, "high", at(9), 2) for row in alerts]
    areas = {"Park": shapely.box(-55.1, -6.1, -54.9, -5.9)}
    write_alerts(str(tmp_path / "out"), alerts, changes, [update(1, at(9))], areas)
    return write_brief(tmp_path)


def test_a_brief_asks_for_nothing_and_reports_no_error(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.wait_for(DRAWN)
    assert browser.requests == []
    assert browser.messages == []
    assert browser.run("[...document.images].every(i => i.complete && i.naturalWidth === 128)")


def test_the_browser_sees_what_another_page_asks_for(browser: Browser, tmp_path: Path) -> None:
    other = tmp_path / "other.html"
    other.write_text('<img src="http://127.0.0.1:9/a.png"><script>undefined.x</script>')
    browser.open(other)
    assert browser.requests == ["http://127.0.0.1:9/a.png"]
    assert browser.messages


def test_the_map_shows_the_sites(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.wait_for(DRAWN)
    assert len(browser.run(PIXELS)) > 10 * 40


def test_ten_thousand_alerts_draw_within_two_seconds(browser: Browser, tmp_path: Path) -> None:
    many_alerts(str(tmp_path / "out"), 10_000, at(9))
    page, drawn_ms = write_brief(tmp_path), []
    for _ in range(3):  # another process may be busy
        browser.open(page)
        drawn_ms.append(int(browser.wait_for(DRAWN)))  # since the page was asked for
    assert min(drawn_ms) < 2000
    points = "JSON.parse(document.getElementById('map-data').textContent).points.length"
    assert browser.run(points) == 10_000
    assert browser.requests == []


def test_a_popup_says_what_is_there_as_text(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.wait_for(DRAWN)
    browser.run("document.getElementById('map').scrollIntoView()")
    x, y = min(browser.run(PIXELS))  # the westernmost site
    mouse = {"x": x + 3, "y": y, "button": "left", "clickCount": 1}
    for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
        browser.ask("Input.dispatchMouseEvent", type=kind, **mouse)
    text = browser.wait_for("document.querySelector('.leaflet-popup-content')?.textContent")
    assert "road" in text
    assert "-6.00000, -55.00000" in text
    assert browser.run("document.querySelector('.leaflet-popup-content a').hash") == "#site-1"


def test_on_a_phone_nothing_is_wider_than_the_screen(browser: Browser, page: Path) -> None:
    browser.open(page, PHONE_PX, 844)
    browser.wait_for(DRAWN)
    assert browser.run("document.documentElement.scrollWidth") == PHONE_PX
    assert browser.run("document.getElementById('map').offsetWidth") <= PHONE_PX


@pytest.mark.parametrize("width", [PHONE_PX, 1280])
def test_print_shows_the_whole_map_within_the_paper(
    browser: Browser, page: Path, width: int
) -> None:
    browser.open(page, width)
    browser.wait_for(DRAWN)
    browser.ask("Emulation.setEmulatedMedia", media="print")
    try:
        paper_px = (210 - 2 * 14) / 25.4 * 96
        width_px = browser.run("document.getElementById('map').getBoundingClientRect().width")
        assert 300 < width_px <= paper_px
        assert browser.run("getComputedStyle(document.querySelector('button')).display") == "none"
    finally:
        browser.ask("Emulation.setEmulatedMedia", media="")
    assert browser.pdf().startswith(b"%PDF")


def test_a_position_is_copied(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.wait_for(DRAWN)
    click = "document.querySelector('button[data-copy]').click()"
    browser.ask("Runtime.evaluate", expression=click, userGesture=True)
    assert browser.wait_for("document.querySelector('button[data-copy]').textContent === 'Copied'")
    assert browser.messages == []
