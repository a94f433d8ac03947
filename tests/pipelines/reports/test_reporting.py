"""A night's report says what happened, on a page that runs and requests nothing."""

import json
import os
import re
import threading
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from beam_jobs.maintain import main as maintain_command
from beam_jobs.publish import main as publish_command
from beam_jobs.report import main as report_command
from beam_jobs.withdraw import main as withdraw_command
from pipelines.commands import exit_code
from pipelines.errors import StorageError
from pipelines.publishing.publishing import publish_run
from pipelines.reports import reporting, thumbnails
from pipelines.reports.facts import gather_facts
from pipelines.reports.reporting import report_uri, write_report
from pipelines.reports.thumbnails import SIDE_PX, Wanted, draw_thumbnail
from pipelines.runs import attempts
from pipelines.runs.records import read_record
from pipelines.runs.run_rows import published_rows, staged_rows
from pipelines.runs.staging import stage_unit
from pipelines.storage import store
from schemas.labels import PLANET_LABELS
from schemas.tables import QUARANTINE, RUNS, chip_scores
from tests.support.nights import HOLD, night, planned, three_nights
from tests.support.published_runs import at, commit_rows, quarantined_row, run_row, scored
from tests.support.samples import jpg_bytes
from tests.support.staged_runs import empty_tables, labelled
from tests.support.tiffs import encode_tif
from tests.support.trusted import trust


@pytest.fixture
def output(tmp_path) -> str:
    return empty_tables(tmp_path)


HOSTILE = "/chips/<script>alert('x')</script>\n\u202e\"&.jpg"


class Page(HTMLParser):
    """A page's elements and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def page(output: str, run_id: str) -> Page:
    return Page(store.read_bytes(report_uri(output, run_id)).decode())


def by_hand(output: str, rows, quarantine=(), **record) -> None:
    """A published run of these rows."""
    commit_rows(output, chip_scores(PLANET_LABELS), "r", rows)
    commit_rows(output, QUARANTINE, "r", quarantine)
    counts = {"scored": len(rows), "quarantined": len(quarantine), **record}
    reasons = {row["reason"]: 1 for row in quarantine}
    row = run_row(at(2), quarantined_by_reason=json.dumps(reasons))
    commit_rows(output, RUNS, "r", [{**row, **counts}])


def test_a_night_leaves_a_report_with_its_counts_verdict_and_the_nights_before(output):
    three_nights(output)
    night(output, "today", scored=1234, bad=5, highest=0.4)
    found = page(output, "today")
    assert "Bad, published at " in found.text
    assert "bad: psi of " in found.text
    for expected in ("1,234", "n0", "n1", "n2", "empty: 5 of 1,239", "/bad0.jpg"):
        assert expected in found.text
    assert len([1 for tag, _ in found.tags if tag == "svg"]) == 2 * 17


def test_the_page_requests_nothing_from_a_server_and_runs_no_script(output, tmp_path):
    chip = tmp_path / "chip.jpg"
    chip.write_bytes(jpg_bytes())
    by_hand(output, [scored(str(chip), "road")], [quarantined_row(HOSTILE, "empty")])
    write_report(output, "r")
    html = store.read_bytes(report_uri(output, "r")).decode()
    found = Page(html)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in found.tags}
    assert not re.findall(r"url\(|@import|https?://", html)
    sources = [attributes["src"] for _, attributes in found.tags if "src" in attributes]
    assert sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    handlers = [name for _, attributes in found.tags for name in attributes if name[:2] == "on"]
    assert handlers == []
    policy = next(a["content"] for tag, a in found.tags if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'")


def test_hostile_names_messages_and_options_stay_data(output):
    bad = quarantined_row(HOSTILE, "truncated", message="<img src=x onerror=alert(2)>")
    options = {"chips": "</code><script>"}
    by_hand(output, [scored(HOSTILE, "road")], [bad], options=json.dumps(options))
    write_report(output, "r")
    found = page(output, "r")
    assert "script" not in {tag for tag, _ in found.tags}
    assert "img" not in {tag for tag, _ in found.tags}
    assert "/chips/<script>alert('x')</script>\\n\\u202e\"&.jpg" in found.text
    assert "<img src=x onerror=alert(2)>" in found.text


def test_a_chip_that_was_deleted_since_is_shown_as_missing(output):
    by_hand(output, [scored("/gone.jpg", "road")])
    write_report(output, "r")
    assert "no picture: unreadable: cannot read '/gone.jpg'" in page(output, "r").text


def test_the_chips_of_the_rarest_labels_are_those_of_the_highest_scores(output):
    rows = [scored(f"/{n}", "primary", score_primary=n / 100) for n in range(50)]
    rows += [scored(f"/road{n}", "road", score_road=0.5 + n / 100) for n in range(7)]
    rows += [scored("/mine", "conventional_mine", sky=None)]
    by_hand(output, rows)
    facts = gather_facts(read_record(output, "r"), published_rows(output, "r"), [])
    assert list(facts.rare) == ["conventional_mine", "road", "primary", "clear"]
    assert [chip.chip_uri for chip in facts.rare["road"]] == [f"/road{n}" for n in (6, 5, 4, 3)]
    assert [chip.chip_uri for chip in facts.rare["primary"]] == ["/49", "/48", "/47", "/46"]
    assert facts.night.labels == {"clear": 57, "primary": 50, "road": 7, "conventional_mine": 1}


def test_examples_of_quarantined_chips_are_few_of_each_reason(output):
    bad = [quarantined_row(f"/{n}", ("empty", "truncated")[n % 2]) for n in range(40)]
    by_hand(output, [], bad)
    rejected = gather_facts(read_record(output, "r"), published_rows(output, "r"), []).rejected
    assert {reason: len(some) for reason, some in rejected.items()} == {"empty": 5, "truncated": 5}
    assert rejected["empty"][0].chip_uri == "/0"


def test_staged_rows_have_the_same_facts_as_published_ones(output):
    plan = planned(output, "today", 50, 7)
    units = [stage_unit([labelled(0, 0, 50, 7, True, 0.8)], plan.staging)]
    record = {"run_id": "today", "run_date": "d", "scored": 50, "quarantined": 7}
    staged = gather_facts(record, staged_rows(units), [])
    publish_run(plan, units)
    published = gather_facts(record, published_rows(output, "today"), [])
    assert staged.rare == published.rare
    assert staged.rejected == published.rejected
    assert staged.night.labels == published.night.labels


def test_a_held_run_has_a_report_of_what_is_staged(output):
    three_nights(output)
    night(output, "today", bad=2, highest=0.4, drift=HOLD)
    found = page(output, "today")
    assert "Bad, held: nothing is published" in found.text
    assert "python -m beam_jobs.publish --output URI --run_id today" in found.text
    assert "/bad0.jpg" in found.text


def nights_of(output: str, run_id: str) -> list[str]:
    """The nights that a run's report has in its table, in order."""
    return re.findall(r"<td[^>]*>(n\d+|today|later\d)</td>", read_page(output, run_id))


def read_page(output: str, run_id: str) -> str:
    return store.read_bytes(report_uri(output, run_id)).decode()


def test_a_held_run_is_compared_with_the_nights_before_it_whenever_its_report_is_written(output):
    three_nights(output)
    night(output, "today", highest=0.4, drift=HOLD)
    verdict = read_record(output, "today")["findings"]
    for number in range(2):
        night(output, f"later{number}", highest=0.4)
    write_report(output, "today")
    assert nights_of(output, "today") == ["today", "n2", "n1", "n0"]
    assert "today" not in nights_of(output, "later1")

    assert exit_code(publish_command, ["--output", output, "--run_id", "today"]) == 0
    record = read_record(output, "today")
    assert record["findings"] == verdict
    assert record["planned_at"] < record["held_at"] < record["published_at"]
    assert "UTC, after it was held at 20" in page(output, "today").text
    for _ in range(2):
        assert nights_of(output, "today") == ["today", "n2", "n1", "n0"]
        write_report(output, "today")


def test_a_run_that_was_held_by_an_earlier_release_is_compared_with_the_nights_before(output):
    """Its file does not say when it was held; the file's own time does."""
    three_nights(output)
    plan = night(output, "today", highest=0.4, drift=HOLD)
    held = Path(plan.staging, attempts.HOLD_FILE)
    before = held.stat().st_mtime
    held.write_text('{"reason": "psi"}')
    os.utime(held, (before, before))
    night(output, "later0")
    assert exit_code(publish_command, ["--output", output, "--run_id", "today"]) == 0
    assert nights_of(output, "today") == ["today", "n2", "n1", "n0"]
    assert read_record(output, "today")["held_at"].timestamp() == pytest.approx(before, abs=0.01)


def test_the_report_has_the_precision_that_was_used_limits_and_no_code_for_values(output):
    three_nights(output)
    options = {
        "precision": "auto",
        "sidecar": None,
        "rescore": False,
        "drift_empty": True,
        "reasons": ["empty", "truncated"],
        "drift": {"psi": 0.25, "hold": True, "limit": None},
    }
    night(output, "today", highest=0.4, options=options)
    html = read_page(output, "today")
    values = dict(
        re.findall(r"<tr><td[^>]*>(\w+)</td><td[^>]*>(?:<code>)?(.*?)(?:</code>)?</td>", html)
    )
    assert values["precision"] == "float32"
    assert values["sidecar"] == "-"
    assert (values["rescore"], values["drift_empty"]) == ("no", "yes")
    assert values["reasons"] == "empty, truncated"
    assert values["drift"] == "psi 0.25, hold yes, limit -"
    found = page(output, "today").text
    assert not re.search(r"\b(None|True|False)\b|\{'|\['", found)
    assert re.search(r"\d\.\d{3} / \d\.\d\d bad", found)


def test_a_withdrawn_run_says_when_and_why_and_that_its_scores_are_gone(output, capsys):
    for run_id in ("why", "when"):
        night(output, run_id, bad=1)
    why = ["--reason", "wrong <area>"]
    assert exit_code(withdraw_command, ["--output", output, "--run_id", "why", *why]) == 0
    assert exit_code(withdraw_command, ["--output", output, "--run_id", "when"]) == 0
    assert exit_code(withdraw_command, ["--output", output, "--run_id", "when", *why]) == 0
    for run_id, reason in {"why": ": wrong &lt;area&gt;", "when": ""}.items():
        write_report(output, run_id)
        found = page(output, run_id).text
        on = rf", withdrawn on 20\d\d-\d\d-\d\d at \d\d:\d\d UTC{reason}</p>"
        assert re.search(on, read_page(output, run_id))
        assert "The run's scores were removed." in found
        assert "empty: 1 of 101" in found
    record = read_record(output, "why")
    assert record["reason"].endswith(" UTC: wrong <area>")


@pytest.mark.parametrize("staged", [True, False])
@pytest.mark.parametrize("has_chips", [True, False])
def test_the_report_of_a_withdrawn_run_stays_the_same_after_maintain(
    output, staged, has_chips, capsys
):
    if staged:
        night(output, "r", scored=100 if has_chips else 0)
    else:
        by_hand(output, [scored("/gone.jpg", "road")] if has_chips else [])
    night(output, "kept")
    assert exit_code(withdraw_command, ["--output", output, "--run_id", "r"]) == 0
    for with_maintain in (False, True):
        if with_maintain:
            flags = ["--output", output, "--vacuum_hours", "0"]
            assert exit_code(maintain_command, flags) == 0
        assert exit_code(report_command, ["--output", output, "--run_id", "r"]) == 0
        found = page(output, "r").text
        assert ", withdrawn on 20" in found
        assert ("The run's scores were removed." in found) is has_chips


def test_a_night_without_chips_and_a_failed_run_have_reports_too(output, capsys):
    night(output, "nothing", scored=0)
    assert "No chip was scored." in page(output, "nothing").text
    by_hand(output, [], status="failed", reason="<the disk> is full", published_at=None)
    write_report(output, "r")
    assert "failed: <the disk> is full" in page(output, "r").text
    assert "No chip was quarantined" not in page(output, "r").text


@pytest.mark.parametrize("error", [RuntimeError("no ink"), StorageError("no ink")])
def test_a_report_that_cannot_be_written_logs_an_error_and_does_not_fail_the_run(
    error, output, monkeypatch, caplog
):
    def fail(*_):
        raise error

    monkeypatch.setattr(reporting, "render_report", fail)
    night(output, "today")
    assert read_record(output, "today")["status"] == "published"
    assert "run today: its report could not be written: no ink" in caplog.text
    assert ("Traceback" in caplog.text) == isinstance(error, RuntimeError)  # a bug
    (event,) = [r for r in caplog.records if getattr(r, "event", "") == "report_failed"]
    assert (event.levelname, event.event_fields["reason"]) == ("ERROR", "no ink")


def test_the_command_writes_the_report_again_and_prints_its_address(output, capsys):
    three_nights(output)
    night(output, "today")
    uri = report_uri(output, "today")
    before = store.read_bytes(uri)
    Path(uri).unlink()
    assert exit_code(report_command, ["--output", output, "--run_id", "today"]) == 0
    assert capsys.readouterr().out == f"{uri}\n"
    assert store.read_bytes(uri) == before
    assert exit_code(report_command, ["--output", output, "--run_id", "never"]) == 2
    assert "no run 'never'" in capsys.readouterr().err


def test_a_report_can_be_written_to_an_object_store(object_store_uri):
    by_hand(object_store_uri, [scored("/gone.jpg", "road")])
    uri = write_report(object_store_uri, "r")
    assert uri == f"{object_store_uri}/reports/r.html"
    assert store.read_bytes(uri).startswith(b"<!DOCTYPE html>")


def test_a_thumbnail_has_the_colours_of_its_chip(tmp_path):
    chip = tmp_path / "chip.jpg"
    chip.write_bytes(jpg_bytes((40, 80, 200)))
    drawn = simplejpeg.decode_jpeg(draw_thumbnail(str(chip), "jpg").jpeg)
    assert drawn.shape == (SIDE_PX, SIDE_PX, 3)
    np.testing.assert_allclose(drawn.mean((0, 1)), (40, 80, 200), atol=4)


def test_a_broken_chip_has_no_thumbnail_and_a_reason(tmp_path):
    chip = tmp_path / "chip.jpg"
    chip.write_bytes(b"\xff\xd8\xff broken")
    found = draw_thumbnail(str(chip), "jpg")
    assert found.jpeg is None
    assert found.missing


def test_a_report_does_not_wait_for_a_store_that_hangs(tmp_path, monkeypatch):
    chip = tmp_path / "chip.jpg"
    chip.write_bytes(jpg_bytes())
    end, read_named = threading.Event(), thumbnails.read_named

    def read_or_hang(uri, most_bytes):
        if uri == "hangs":
            end.wait(30)
        return read_named(uri, most_bytes)

    monkeypatch.setattr(thumbnails, "read_named", read_or_hang)
    chips = [("hangs", "jpg")] * 20 + [(str(chip), "jpg")]
    drawn = thumbnails.draw_thumbnails([Wanted(*chip) for chip in (chips[-1], *chips)], 3)
    end.set()
    assert drawn[0].jpeg
    assert {each.missing for each in drawn[1:]} == {"it could not be read in time"}


def test_a_geotiffs_thumbnail_shows_red_green_and_blue_from_darkest_to_lightest(tmp_path):
    """The bands are blue, green, red, near infrared: red grows to the right, green downwards."""
    ramp = np.linspace(3000, 9000, 256)
    right, down = np.meshgrid(ramp, ramp)
    values = np.stack([np.full((256, 256), 5000.0), down, right, right])
    chip = tmp_path / "chip.tif"
    chip.write_bytes(encode_tif(values.astype(np.uint16)))
    drawn = simplejpeg.decode_jpeg(draw_thumbnail(str(chip), "tif").jpeg).astype(int)
    assert drawn[:, -8:, 0].mean() > 230 > 25 > drawn[:, :8, 0].mean()
    assert drawn[-8:, :, 1].mean() > 230 > 25 > drawn[:8, :, 1].mean()
    assert drawn[..., 2].max() < 25


def test_a_pngs_thumbnail_has_its_colours_and_its_bytes_decide_what_it_is(tmp_path):
    chip = tmp_path / "chip.png"
    Image.new("RGB", (60, 60), (40, 80, 200)).save(chip)
    for media_type in ("png", None):
        drawn = simplejpeg.decode_jpeg(draw_thumbnail(str(chip), media_type).jpeg)
        np.testing.assert_allclose(drawn.mean((0, 1)), (40, 80, 200), atol=4)


@pytest.mark.parametrize(
    ("dtype", "bands", "colours"),
    [("float32", 6, (2, 1, 0)), ("int16", 5, (2, 1, 0)), ("uint8", 3, (0, 1, 2))],
)
def test_a_geotiffs_thumbnail_shows_its_colours_whatever_its_bands_are(
    tmp_path, dtype, bands, colours
):
    """Red grows to the right, green downwards, and there is no blue."""
    ramp = np.linspace(0.02, 0.4, 128)
    right, down = np.meshgrid(ramp, ramp)
    values = np.full((bands, 128, 128), 0.001)
    values[colours[0]], values[colours[1]] = right, down
    scale = {"float32": 1, "int16": 10_000, "uint8": 255 / 0.4}[dtype]
    chip = tmp_path / "chip.tif"
    chip.write_bytes(encode_tif((values * scale).astype(dtype), photometric="minisblack"))
    drawn = simplejpeg.decode_jpeg(draw_thumbnail(str(chip), "tif").jpeg).astype(int)
    assert drawn[:, -8:, 0].mean() > 230 > 40 > drawn[:, :8, 0].mean()
    assert drawn[-8:, :, 1].mean() > 230 > 40 > drawn[:8, :, 1].mean()
    assert drawn[..., 2].max() < 25


def test_one_band_is_shown_in_grey(tmp_path):
    chip = tmp_path / "chip.tif"
    chip.write_bytes(encode_tif(np.random.default_rng(0).uniform(0, 1, (1, 64, 64)).astype("f4")))
    drawn = simplejpeg.decode_jpeg(draw_thumbnail(str(chip), "tif").jpeg).astype(int)
    assert np.ptp(drawn, axis=2).max() <= 3


# --------------------------------------------------------------------------- proven labels


def test_labels_that_are_not_proven_are_left_out_unless_asked_for(output):
    names = ("road", "slash_burn", "blooming")
    rows = [scored(f"/{name}.jpg", name) for name in names]
    commit_rows(output, QUARANTINE, "r", [])
    commit_rows(output, chip_scores(PLANET_LABELS), "r", rows)
    commit_rows(output, RUNS, "r", [run_row(at(2), scored=3)])
    trust(output, {"road": 1200, "slash_burn": 3, "water": 0, "blooming": None})

    def rare() -> set[str]:
        shown = page(output, "r").text.partition("Rarest labels")[2].partition("Durations")[0]
        return {name for name in names if f"{name}: 1" in shown}

    write_report(output, "r")
    text = page(output, "r").text
    assert "yes, by 1,200 chips" in text
    assert "water (0 chips here, judged on 0), slash_burn (1 chip here, judged on 3)" in text
    assert rare() == {"road", "blooming"}
    assert exit_code(report_command, ["--output", output, "--run_id", "r", "--unproven"]) == 0
    text = page(output, "r").text
    assert "Left out, because they are not proven" not in text
    assert "no, by 3 chips" in text
    assert rare() == set(names)


def test_a_label_that_is_never_reported_has_no_share_and_is_not_proven(output):
    commit_rows(output, QUARANTINE, "r", [])
    commit_rows(output, chip_scores(PLANET_LABELS), "r", [scored("/a.jpg", "road")])
    commit_rows(output, RUNS, "r", [run_row(at(2), scored=1)])
    trust(output, {"road": 1200, "water": 1200, "habitation": 1200}, never=["water"])
    write_report(output, "r")
    cells = re.findall(
        r"<t[dh][^>]*>(.*?)</t[dh]>", store.read_bytes(report_uri(output, "r")).decode()
    )
    of = {label: cells[cells.index(label) :] for label in ("habitation", "water")}
    assert of["habitation"][1:3] == ["0", "0.0%"]
    assert "yes, by 1,200 chips" in of["habitation"][:9]
    assert of["water"][1:3] == ["0", "never reported"]
    assert "no" in of["water"][:9]
    assert "yes" not in "".join(of["water"][:9])
    assert "Left out" not in page(output, "r").text


def test_a_report_says_if_nothing_is_known_of_the_labels(output):
    commit_rows(output, QUARANTINE, "r", [])
    commit_rows(output, chip_scores(PLANET_LABELS), "r", [scored("/a.jpg", "road")])
    commit_rows(output, RUNS, "r", [run_row(at(2), scored=1)])
    write_report(output, "r")
    assert "Nothing is known of how far these labels can be trusted" in page(output, "r").text
