"""Brief, export and verdicts on alerts that `update_alerts` made."""

import re
from collections import Counter
from pathlib import Path
from random import Random

import geopandas
import pyogrio

from beam_jobs.export_alerts import main as export_command
from beam_jobs.query import ask
from beam_jobs.record_verdicts import main as verdict_command
from beam_jobs.update_alerts import main as update_command
from pipelines.briefs.writing import Request, make_brief
from pipelines.commands import exit_code
from tests.support.alert_worlds import World, in_nights, random_pictures
from tests.support.published_runs import at, scored

SIDE = 0.007


def update(world: World) -> None:
    assert (
        exit_code(update_command, ["--output", world.output, "--labels", "road", "slash_burn"]) == 0
    )


def changes_by_hand(output: str) -> Counter[str]:
    """What became of each site since the update before the last one, alert by alert."""
    updates = ask(output, "FROM alert_updates ORDER BY update_number").to_pylist()
    since = updates[-2]["published_at"]
    before = {}
    for row in ask(output, "FROM alert_changes ORDER BY alert_id, step").to_pylist():
        if row["published_at"] <= since:
            before[row["alert_id"]] = row["to_status"]
    sites: dict[str, list[str]] = {}
    for row in ask(output, "FROM alerts WHERE site_id IS NOT NULL").to_pylist():
        sites.setdefault(row["site_id"], []).append(before.get(row["alert_id"], "none"))
    found: Counter[str] = Counter()
    for site in ask(output, "FROM sites").to_pylist():
        was, status = set(sites[site["site_id"]]), site["status"]
        is_new = bool(was & {"none", "retracted", "dropped"})
        if status == "ended":
            found["ended"] += bool(was & {"low", "high"}) or not was & {"ended"}
        elif not was & {"low", "high"}:
            found["new"] += 1
        elif status == "high" and "high" not in was:
            found["confirmed"] += 1
        elif is_new:
            found["grown"] += 1
    return found


def tiles(page: str) -> dict[str, int]:
    names = {"new": "new sites", "confirmed": "newly confirmed", "grown": "grown"}
    names |= {"ended": "no longer seen", "open": "open sites in all"}
    shown = dict(re.findall(r"<dt>([^<]*)</dt><dd>([\d,]+)</dd>", page))
    return {key: int(shown[name].replace(",", "")) for key, name in names.items()}


def test_brief_and_exports_say_what_the_tables_have(tmp_path: Path) -> None:
    draw = Random(5)
    world = World(str(tmp_path / "out"))
    pictures = sorted(random_pictures(draw, 900), key=lambda row: row["observed_at"])
    seen: Counter[str] = Counter()
    for rows in in_nights(draw, pictures, 4):
        world.publish(rows)
        update(world)
        if len(world.runs) == 1:
            continue
        found = tiles(make_brief(world.output, Request()).page)
        expected = changes_by_hand(world.output)
        assert {key: found[key] for key in ("new", "confirmed", "grown", "ended")} == {
            key: expected[key] for key in ("new", "confirmed", "grown", "ended")
        }
        open_sites = ask(world.output, "FROM sites WHERE status <> 'ended'").num_rows
        assert found["open"] == open_sites
        seen.update(expected)
    assert set(seen) >= {"new", "confirmed", "ended"}
    for what, table in (("alerts", "alerts"), ("sites", "sites"), ("changes", "alert_changes")):
        counts = set()
        for ending in (".geojson", ".gpkg", ".csv", ".fgb", ".parquet"):
            to = str(tmp_path / f"{what}{ending}")
            arguments = ["--output", world.output, "--to", to, "--what", what]
            assert exit_code(export_command, arguments) == 0
            read = geopandas.read_parquet if ending == ".parquet" else pyogrio.read_dataframe
            counts.add(len(read(to)))
        assert counts == {ask(world.output, f"FROM {table}").num_rows}


def test_a_verdict_stays_when_a_late_picture_gives_the_alert_another_id(tmp_path: Path) -> None:
    world = World(str(tmp_path / "out"))
    box = {"lon_min": -60, "lat_min": -5, "lon_max": -60 + SIDE, "lat_max": -5 + SIDE}

    def picture(day: int, *labels: str) -> dict[str, object]:
        taken = at(day, 14)
        return scored(f"/c/{day}.jpg", *labels, observed_at=taken, scored_at=at(20), **box)

    world.publish([picture(1), picture(5, "road")])
    update(world)
    first = ask(world.output, "FROM alerts").to_pylist()
    assert {row["first_detected"] for row in first} == {at(5, 14)}
    file = tmp_path / "verdicts.csv"
    rows = f"site_id,verdict,who,when\n{first[0]['site_id']},true,Ana,2026-07-06\n"
    file.write_text(rows)
    assert exit_code(verdict_command, ["--output", world.output, "--file", str(file)]) == 0
    assert "Checked: it is right (Ana, 6 July 2026)" in make_brief(world.output, Request()).page
    world.publish([picture(3, "road")])
    update(world)
    second = ask(world.output, "FROM alerts").to_pylist()
    assert {row["first_detected"] for row in second} == {at(3, 14)}
    assert not {row["alert_id"] for row in first} & {row["alert_id"] for row in second}
    judged = ask(world.output, "SELECT alert_id, verdict FROM newest_verdicts").to_pylist()
    assert {row["alert_id"] for row in judged} == {row["alert_id"] for row in second}
    assert {row["verdict"] for row in judged} == {"true"}
    assert "Checked: it is right (Ana, 6 July 2026)" in make_brief(world.output, Request()).page
    # The site has a new name, and the file of before is still known.
    assert exit_code(verdict_command, ["--output", world.output, "--file", str(file)]) == 0
    assert ask(world.output, "SELECT count(DISTINCT verdict_id) AS n FROM verdicts")[
        "n"
    ].to_pylist() == [1]
