"""The command: what it takes, refuses and says."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import geopandas
import h3
import pytest
import shapely

from beam_jobs import maintain, update_alerts
from beam_jobs.query import ask
from pipelines.commands import exit_code
from pipelines.maintenance.withdrawing import withdraw_run
from schemas.labels import LabelSet
from schemas.tables import RUNS
from tests.support.alert_worlds import SIDE, START, World, whole_table
from tests.support.footprints import check_geoparquet, live_files
from tests.support.published_runs import commit_rows, publish, run_row, scored
from tests.support.trusted import trust

pytest_plugins = ["tests.support.object_stores"]

DAY = timedelta(days=1)
EDGE = -60 + SIDE / 8  # through the western cells


class Update:
    """The command for one OUTPUT; called with flags, it returns exit code, output and errors."""

    def __init__(self, output: str, capsys) -> None:
        self.output, self._capsys = output, capsys

    def __call__(self, *flags: str) -> tuple[int, str, str]:
        code = exit_code(update_alerts.main, ["--output", self.output, *flags])
        return code, *self._capsys.readouterr()

    def rows(self, sql: str) -> list[tuple]:
        return [tuple(row.values()) for row in ask(self.output, sql).to_pylist()]


def chip(number: int, day: int, *labels: str, east: float | None = 0, **more) -> dict:
    """A picture of ground that has about five cells; `east` chips further."""
    if east is not None:
        more |= {"lon_min": -60 + east * SIDE, "lon_max": -60 + (east + 1) * SIDE}
        more |= {"lat_min": -10.0, "lat_max": -10 + SIDE}
    more = {"observed_at": START + day * DAY, "scored_at": START + (day + 1) * DAY} | more
    return scored(f"c-{number}", *labels, etag=str(day), **more)


@pytest.fixture
def update(tmp_path, capsys) -> Update:
    """A road that appears on the second of five days, next to ground without one."""
    world = World(str(tmp_path / "out"))
    for day, labels in enumerate([(), ("road",), ("road",), ("road",), ()]):
        world.publish([chip(day, day, *labels), chip(100 + day, day, east=5)])
    return Update(world.output, capsys)


def test_as_of_a_time_before_every_look_there_are_no_alerts(update):
    code, out, _ = update("--as_of", "2000-01-01")
    assert (code, update.rows("SELECT count(*) FROM alerts")) == (0, [(0,)])
    assert "0 low, 0 high" in out


def test_alerts_are_found_and_a_second_call_changes_nothing(update):
    code, said, notes = update("--labels", "road")
    assert (code, notes) == (0, "")
    cells = len(update.rows("FROM alerts"))
    assert said == (
        f"computed {len(update.rows('FROM places'))} places from "
        f"{5 * len(update.rows('FROM places'))} looks (all of them: the tables are new, or of "
        f"another release)\n{2 * cells} changes published, update 1\n"
        f"alerts: 0 low, {cells} high, 0 dropped, 0 ended; 1 site\n"
        "of road, as of 2026-01-05 00:00 UTC\n"
    )
    before = update.rows("FROM alerts ORDER BY alert_id")
    code, said, _ = update()
    assert said.startswith("nothing is new since update 1\nalerts: ")
    assert update.rows("FROM alerts ORDER BY alert_id") == before


def test_each_alert_has_its_cell_and_its_site_their_union(update):
    update("--labels", "road")
    rows = ask(update.output, "FROM alerts").to_pylist()
    for row in rows:
        ring = [(lon, lat) for lat, lon in h3.cell_to_boundary(row["place_id"])]
        cell = shapely.from_wkb(row["geometry"])
        assert cell.symmetric_difference(shapely.Polygon(ring)).area < 1e-12
        assert row["area_ha"] == pytest.approx(h3.cell_area(row["place_id"], "m^2") / 1e4)
        assert (row["latitude"], row["longitude"]) == pytest.approx(
            h3.cell_to_latlng(row["place_id"])
        )
        assert tuple(row["bbox"].values()) == cell.bounds
    (site,) = ask(update.output, "FROM sites").to_pylist()
    union = shapely.union_all([shapely.from_wkb(row["geometry"]) for row in rows])
    assert shapely.from_wkb(site["geometry"]).symmetric_difference(union).area < 1e-12
    assert site["area_ha"] == pytest.approx(sum(row["area_ha"] for row in rows))
    assert (site["cells"], site["alerts"], site["positives"]) == (len(rows), len(rows), 3)
    assert (site["before_uri"], site["after_uri"], site["pictures"]) == ("c-0", "c-1", ["c-1"])
    assert site["site_id"] == min(row["alert_id"] for row in rows)
    assert {row["site_id"] for row in rows} == {site["site_id"]}


def test_files_of_alerts_sites_and_areas_are_geoparquet(update, tmp_path):
    """Also with alerts that have no position, and across 180 degrees."""
    world = World(update.output)
    world.runs = [None] * 5  # type: ignore[list-item]
    fiji = {"lon_min": 179.999, "lon_max": -179.994, "lat_min": -17.0, "lat_max": -17 + SIDE}
    for day, labels in enumerate([(), ("road",), ("road",), ("road",)]):
        across = chip(day, day, *labels, east=None, **fiji) | {"chip_uri": f"fiji-{day}"}
        world.publish([across, chip(0, day, *labels, east=None) | {"chip_uri": "nowhere"}])
    areas = areas_file(tmp_path / "a.gpkg", Fiji=shapely.box(-180, -18, -179, -16))
    update("--labels", "road", "--areas", areas)
    assert check_geoparquet(update.output, "alerts", "sites", "alert_areas") == 3
    for name in ("alerts", "sites"):
        (path,) = live_files(update.output, name)
        frame = geopandas.read_parquet(path)
        assert frame.crs.to_string() == "OGC:CRS84"
        assert len(frame) == len(update.rows(f"FROM {name}"))
        assert frame.geometry.isna().sum() == 1
        assert frame.geometry.dropna().is_valid.all()
    sites = "SELECT areas, bbox.xmin > 179, bbox.xmax < -179 FROM sites WHERE bbox.xmin > bbox.xmax"
    assert update.rows(sites) == [(["Fiji"], True, True)]


def test_sites_that_grow_together_keep_the_older_id(update):
    world = World(update.output)
    update("--labels", "road")
    ((older,),) = update.rows("SELECT site_id FROM sites")
    world.runs = [None] * 5  # type: ignore[list-item]
    world.publish([chip(100 + day, day, "road", east=5) for day in (10, 11)])
    update()
    assert len(update.rows("FROM sites")) == 2
    between = [chip(200 + n, 4, east=east) for n, east in enumerate((1, 2, 3, 4))]
    between += [chip(300 + n, 12, "road", east=east) for n, east in enumerate((1, 2, 3, 4))]
    world.publish(between)
    update()
    assert update.rows("SELECT site_id, status FROM sites") == [(older, "high")]


def test_an_alert_that_nothing_confirmed_is_dropped_when_time_passes_elsewhere(update):
    """No look at its place follows, so nothing but the time of the newest look has changed."""
    world = World(update.output)
    world.runs = [None] * 5  # type: ignore[list-item]
    world.publish([chip(900, 6, "slash_burn", east=5)])
    update("--labels", "slash_burn")
    assert update.rows("SELECT DISTINCT status FROM alerts") == [("low",)]
    world.publish([chip(901, 6 + 181, east=0)])
    update()
    ends = START + 186 * DAY
    assert update.rows("SELECT DISTINCT status, dropped_at FROM alerts") == [("dropped", ends)]
    assert update.rows(
        "SELECT DISTINCT step, from_status, to_status, changed_at FROM alert_changes WHERE step > 1"
    ) == [(2, "low", "dropped", ends)]


def test_proof_is_that_of_the_model_and_follows_it(update):
    update("--labels", "road")
    assert update.rows("SELECT DISTINCT proven FROM alerts") == [(None,)]
    trust(update.output, {"road": 12, "slash_burn": 3})
    assert update("--labels", "road")[1].startswith("computed 0 places")
    assert update.rows("SELECT DISTINCT proven FROM alerts") == [(True,)]
    assert update.rows("SELECT DISTINCT proven FROM sites") == [(True,)]


def test_labels_of_alerts_that_the_newest_run_never_reports_are_named(update):
    trust(update.output, {"road": 12, "water": 30}, never=["water", "haze"])
    warning = "warning: never reported, because the threshold is null: water\n"
    code, _, err = update("--labels", "road", "water")
    assert (code, err) == (0, warning)
    assert update()[2] == warning
    assert update("--labels", "road")[2] == ""
    update("--labels", "road", "water")
    trust(update.output, {"water": 30}, "model-2")
    later = run_row(START + 3000 * DAY, model_digest="model-2")
    publish(
        update.output, "other-model", [chip(900, 9, model_digest="model-2")], night="2034-03-20"
    )
    commit_rows(update.output, RUNS, "other-model", [later], "2034-03-20")
    assert update()[2] == ""


def areas_file(path: Path, **shapes) -> str:
    frame = geopandas.GeoDataFrame({"name": [*shapes]}, geometry=[*shapes.values()], crs=4326)
    frame.to_file(path)
    return str(path)


def test_alerts_name_the_areas_that_they_touch_until_others_are_given(update, tmp_path):
    west = areas_file(tmp_path / "a.gpkg", West=shapely.box(-61, -11, EDGE, -9))
    update("--labels", "road", "--areas", west)
    touching = {
        place: ["West"] if shapely.from_wkb(outline).bounds[0] <= EDGE else []
        for place, outline in update.rows("SELECT place_id, geometry FROM alerts")
    }
    found = "SELECT place_id, areas FROM alerts"
    assert dict(update.rows(found)) == touching
    assert [] in touching.values()
    assert update.rows("SELECT areas FROM sites") == [(["West"],)]
    assert update()[1].startswith("nothing is new")
    country = areas_file(tmp_path / "b.geojson", Country=shapely.box(-70, -20, -50, 0))
    assert update("--areas", country)[1].startswith("computed 0 places")
    assert {tuple(names) for _, names in update.rows(found)} == {("Country",)}
    update("--reset", "--labels", "road")
    assert {tuple(names) for _, names in update.rows(found)} == {()}
    assert update.rows("FROM alert_areas") == []


def test_options_are_kept_and_other_ones_are_said(update):
    update("--labels", "road", "--baseline", "2026-01-03")
    assert update()[1].startswith("nothing is new")
    _, said, _ = update("--labels", "road", "water")
    assert "(all of them: other options: labels)" in said
    assert update.rows("SELECT labels, baseline FROM alert_updates ORDER BY update_number")[-1] == (
        ["road", "water"],
        datetime(2026, 1, 3).date(),
    )
    assert "other options: labels, baseline" in update("--reset")[1]


def test_an_alert_of_a_withdrawn_run_is_retracted(update):
    update("--labels", "road")
    cells = len(update.rows("FROM alerts"))
    for run in ("run-1", "run-2", "run-3"):
        withdraw_run(update.output, run)
    _, said, _ = update()
    assert "(all of them: rows of runs were removed or replaced)" in said
    assert update.rows("FROM alerts") == update.rows("FROM sites") == []
    assert update.rows(
        "SELECT to_status, count(*), min(changed_at) FROM alert_changes GROUP BY 1 ORDER BY 1"
    ) == [
        ("high", cells, START + 3 * DAY),
        ("low", cells, START + DAY),
        ("retracted", cells, START + DAY),
    ]


def test_maintenance_leaves_the_tables_as_they_are(update):
    update("--labels", "road")
    update("--labels", "road", "water")
    before = update.rows("FROM alerts ORDER BY alert_id")
    assert exit_code(maintain.main, ["--output", update.output, "--vacuum_hours", "0"]) == 0
    assert len(list(Path(update.output, "alerts").glob("*.parquet"))) == 1
    assert update.rows("FROM alerts ORDER BY alert_id") == before
    assert "nothing is new" in update()[1]


def test_a_picture_whose_model_does_not_know_the_label_is_no_look_for_it(update):
    world = World(update.output)
    world.runs = [None] * 5  # type: ignore[list-item]
    unknowing = {"score_road": None, "model_digest": "model-2"}
    world.publish([chip(500 + day, day, **unknowing) for day in (5, 6, 7)])
    update("--labels", "road", "water")
    found = "SELECT DISTINCT status, looks, positives, last_looked FROM alerts"
    assert update.rows(found) == [("high", 4, 3, START + 4 * DAY)]


def test_chips_without_positions_and_times_have_alerts_and_a_note_says_what_that_means(
    tmp_path, capsys
):
    update, world = Update(str(tmp_path / "out"), capsys), World(str(tmp_path / "out"))
    for day, labels in enumerate([(), ("road",), ("road",), ("road",)]):
        rows = [chip(n, day, *labels, east=None, observed_at=None) for n in (1, 2)]
        world.publish([row | {"modified_at": START + day * DAY} for row in rows])
    code, _, notes = update("--labels", "road")
    assert code == 0
    assert notes.splitlines() == [
        "note: no chip has a position: each address is a place of its own, alerts have no area, "
        "and no two of them make a site",
        "note: 8 of 8 looks have no time of their own: the time when their object was written, or "
        "first scored, is taken for it",
    ]
    found = (
        "SELECT place_id, status, first_detected, geometry, bbox, area_ha FROM alerts ORDER BY 1"
    )
    assert update.rows(found) == [(f"c-{n}", "high", START + DAY, None, None, None) for n in (1, 2)]
    assert len(update.rows("FROM sites")) == 2


def test_pictures_from_the_future_are_ignored_and_counted(update):
    world = World(update.output)
    world.runs = [None] * 5  # type: ignore[list-item]
    world.publish([chip(7, 50, "road", east=5, scored_at=START + 49 * DAY)])
    _, said, notes = update("--labels", "road")
    assert "as of 2026-01-05" in said
    assert "note: 1 picture with a time after their scoring: ignored" in notes


def test_an_output_on_an_object_store_has_the_same_rows(update, object_store_uri, capsys):
    update("--labels", "road")
    remote = Update(f"{object_store_uri}/out", capsys)
    world = World(remote.output)
    for day, labels in enumerate([(), ("road",), ("road",), ("road",), ()]):
        world.publish([chip(day, day, *labels), chip(100 + day, day, east=5)])
        code, _, errors = remote("--labels", "road")
        assert (code, errors) == (0, "")
    for name in ("alerts", "sites"):
        assert whole_table(remote.output, name) == whole_table(update.output, name)


def test_without_looks_there_are_empty_tables(tmp_path, capsys):
    update = Update(str(tmp_path / "out"), capsys)
    publish(update.output, "run")
    code, said, notes = update()
    assert (code, notes) == (0, "")
    assert said.endswith(
        "alerts: 0 low, 0 high, 0 dropped, 0 ended; 0 sites\nthere is no look yet\n"
    )
    assert update.rows("FROM alerts") == update.rows("FROM alert_changes") == []


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--labels", "roda"], "--labels: 'roda' is not a label; did you mean 'road'?"),
        (["--baseline", "yesterday"], "--baseline: must be a date YYYY-MM-DD, not 'yesterday'"),
        (["--baseline", "2026-1-1"], "--baseline: must be a date"),
        (["--as_of", "noon"], "--as_of: must be a date or a time such as"),
        (["--areas", "missing.gpkg"], "--areas: cannot read"),
        (["--areas", ""], "--areas: the address is empty"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_work(update, flags, why):
    code, said, error = update(*flags)
    assert (code, said) == (2, "")
    assert why in error
    assert error.count("\n") == 1
    assert not Path(update.output, "alerts").exists()


def test_areas_that_are_none_are_refused_before_any_work(update, tmp_path):
    path = tmp_path / "areas.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": []}))
    code, _, error = update("--areas", str(path))
    assert code == 2
    assert "needs a column 'name'" in error
    assert not Path(update.output, "alerts").exists()


def test_an_output_without_tables_is_refused(tmp_path, capsys):
    code, _, error = Update(str(tmp_path), capsys)()
    assert code == 2
    assert "has no table chip_scores: publish a run there first" in error


def test_without_threats_labels_must_be_named_once(tmp_path, capsys):
    update, others = Update(str(tmp_path / "out"), capsys), LabelSet(("sea", "sand"))
    rows = [scored(f"c-{day}", label_set=others, sky=None, scored_at=START) for day in (1, 2)]
    publish(update.output, "run", rows, label_set=others)
    code, said, error = update()
    assert (code, said) == (2, "")
    assert error == (
        "error: none of the labels of this OUTPUT is known as a threat: name some by --labels "
        "(labels: sea, sand)\n"
    )
    assert not Path(update.output, "alerts").exists()
    assert update("--labels", "sea")[0] == update()[0] == 0
    assert update("--reset")[0] == 2


def test_a_time_may_be_a_day_or_have_a_zone():
    parsed = update_alerts.LINE.parse(["--output", "x", "--as_of", "2026-07-01"]).as_of
    assert parsed == datetime(2026, 7, 1, 23, 59, 59, 999_999, UTC)
    parsed = update_alerts.LINE.parse(["--output", "x", "--as_of", "2026-07-01T12:00+02:00"]).as_of
    assert parsed == datetime(2026, 7, 1, 10, tzinfo=UTC)
