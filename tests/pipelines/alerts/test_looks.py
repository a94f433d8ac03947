"""What updates of alerts read is what the view `looks` shows."""

from datetime import timedelta
from random import Random

import pytest

from beam_jobs.query import ask
from pipelines.alerts import pictures, source
from pipelines.alerts.looks import LookReader
from pipelines.alerts.pictures import epoch_us
from pipelines.alerts.source import open_connection
from pipelines.places.updating import update_places
from tests.support.alert_worlds import LABELS, World, in_nights, random_pictures, relabelled

_LOOKS = """SELECT place_id, chip_uri, etag, epoch_us(seen_at), list_contains(labels, 'road'),
score_road, model_digest, thresholds_digest FROM looks ORDER BY ALL"""
_READ = """SELECT place_id, chip_uri, etag, us, has_0, score_0, model_digest, thresholds_digest
FROM shown JOIN pictures USING (p) JOIN asked USING (n) WHERE observed ORDER BY ALL"""
END = 2**62


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    """Nights, a relabelling, new scores of moved chips, and a withdrawn run."""
    draw = Random(11)
    world = World(str(tmp_path_factory.mktemp("world") / "out"))
    nights = in_nights(draw, random_pictures(draw, 500), 3)
    for rows in nights:
        world.publish(rows)
    world.publish(relabelled(draw, nights[0][::2] + nights[1][::3]), relabel=True)
    again = [row | {"scored_at": row["scored_at"] + timedelta(days=3)} for row in nights[1][::4]]
    moved = [row | {"lat_min": 0.0, "lat_max": 0.01} for row in again if "lat_min" in row]
    world.publish(moved)
    world.publish([row | {"sky_label": "cloudy"} for row in again if "lat_min" not in row])
    world.withdraw(world.runs[2])
    update_places(world.output)
    return world


@pytest.fixture(params=["files", "dataset"])
def reader(request, world, monkeypatch):
    """A reader of local files, or of what Arrow reads from a store."""
    if request.param == "dataset":
        monkeypatch.setattr(source, "_MOST_FILES", 0)
    with open_connection() as connection:
        yield LookReader(connection, world.output, LABELS)


def plain(rows) -> list[tuple]:
    return [tuple(row.values()) for row in rows.to_pylist()]


def test_the_looks_at_all_places_are_those_of_the_view(world, reader):
    reader.ask_all_places()
    places = reader.places_asked()
    counted = reader.read(places, END)
    expected = plain(ask(world.output, _LOOKS))
    assert plain(reader._connection.sql(_READ).to_arrow_table()) == expected
    assert len(expected) == counted.looks > 1000
    assert places.to_pylist() == sorted(set(places.to_pylist()))


def test_the_looks_at_some_places_are_those_of_the_view(world, reader):
    reader.ask_all_places()
    some = reader.places_asked().take(list(range(3, 60, 7)))
    reader.read(some, END)
    expected = [row for row in plain(ask(world.output, _LOOKS)) if row[0] in some.to_pylist()]
    assert plain(reader._connection.sql(_READ).to_arrow_table()) == expected


def test_the_places_of_a_run_are_those_that_its_pictures_show_now_or_showed_before(world, reader):
    reader.ask_places_of_runs([world.runs[4].run_id])
    of_run = (
        f"chip_uri IN (SELECT chip_uri FROM chip_scores WHERE run_id = '{world.runs[4].run_id}')"
    )
    sql = f"""SELECT DISTINCT coalesce(place_id, chip_uri) FROM chip_scores
    LEFT JOIN chip_places ON footprint = geometry WHERE {of_run} ORDER BY ALL"""
    expected = [place for (place,) in plain(ask(world.output, sql))]
    assert reader.places_asked().to_pylist() == expected
    reader.ask_places_of_runs([])
    assert len(reader.places_asked()) == 0


@pytest.mark.parametrize("first", [1, 3, 1000])
def test_the_newest_look_is_found_however_many_clouds_came_later(world, reader, monkeypatch, first):
    monkeypatch.setattr(pictures, "_FIRST_CANDIDATES", first)
    ((newest,),) = plain(ask(world.output, "SELECT max(seen_at) FROM looks"))
    assert reader.newest_look_us() == epoch_us(newest)


def test_runs_with_later_pictures_are_named(world, reader):
    reader.ask_all_places()
    (as_of,) = plain(ask(world.output, "SELECT quantile_disc(seen_at, 0.5) FROM looks"))
    counted = reader.read(reader.places_asked(), epoch_us(as_of[0]))
    sql = f"""SELECT DISTINCT c.run_id FROM chip_scores AS c JOIN observations AS o USING (chip_uri)
    WHERE o.etag = c.etag AND o.seen_at > '{as_of[0]}'"""
    assert counted.later_runs == {run_id for (run_id,) in plain(ask(world.output, sql))}
