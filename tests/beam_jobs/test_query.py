from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import h3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from beam_jobs import query
from beam_jobs.answers import as_csv, as_json, as_table, plain_rows
from pipelines.commands import exit_code
from pipelines.errors import StorageError, UsageError
from pipelines.places.updating import update_places
from schemas.labels import PLANET_LABELS, LabelSet
from schemas.render import arrow_schema
from schemas.tables import QUARANTINE, RUNS, SHOWN
from tests.support.published_runs import (
    SCORES,
    at,
    commit_rows,
    publish,
    quarantined_row,
    run_row,
    scored,
)

pytest_plugins = ["tests.support.object_stores"]

TABLES_AND_VIEWS = [
    "alert_areas",
    "alert_changes",
    "alert_updates",
    "alerts",
    "chip_places",
    "chip_scores",
    "label_trust",
    "last_night",
    "latest_chip_scores",
    "looks",
    "models",
    "newest_verdicts",
    "observations",
    "open_quarantine",
    "places",
    "quarantine",
    "runs",
    "sites",
    "threats",
    "verdicts",
]

LAST_NIGHT = ("alerts_last_night", "quarantine_last_night")


@pytest.fixture
def output(tmp_path: Path) -> str:
    folder = tmp_path / "output"
    folder.mkdir()
    return str(folder)


def rows(output: str, sql: str) -> list[tuple[Any, ...]]:
    return plain_rows(query.ask(output, sql))


def asked(output: str, question: str) -> list[dict[str, Any]]:
    answer: list[dict[str, Any]] = query.ask(output, query.QUESTIONS[question]).to_pylist()
    return answer


def picked(answer: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in answer]


# --------------------------------------------------------------------------- what the SQL sees


def test_all_tables_and_views_exist_with_types_before_anything_is_published(output: str) -> None:
    assert [name for (name,) in rows(output, "SHOW TABLES")] == TABLES_AND_VIEWS
    for table in (table.for_labels(PLANET_LABELS) for table in SHOWN):
        answer = query.ask(output, f"SELECT * FROM {table.name}")
        assert answer.num_rows == 0
        assert answer.schema.names == list(table.column_names)
        assert answer.schema.types == [_as_duckdb_gives(f.type) for f in arrow_schema(table)]
    assert rows(output, "SELECT count(*), max(score_road) FROM latest_chip_scores") == [(0, None)]


def _as_duckdb_gives(kind: pa.DataType) -> pa.DataType:
    """DuckDB calls a list's items by another name; the types are the same."""
    return pa.list_(pa.field("l", pa.string())) if pa.types.is_list(kind) else kind


@pytest.mark.parametrize("question", sorted(query.QUESTIONS))
def test_every_question_has_an_empty_answer_before_anything_is_published(
    output: str, question: str
) -> None:
    assert asked(output, question) == []


def test_partition_columns_are_date_and_text(output: str) -> None:
    publish(output, "007", [scored("a")], night="2026-07-01")
    answer = query.ask(output, "SELECT run_date, run_id, labels, scored_at FROM chip_scores")
    assert answer.to_pylist() == [
        {
            "run_date": date(2026, 7, 1),
            "run_id": "007",
            "labels": ["clear"],
            "scored_at": datetime(2026, 7, 1, 2, tzinfo=UTC),
        }
    ]


def test_counts_equal_those_computed_from_the_files(output: str) -> None:
    kinds = [("clear", ["primary"]), ("haze", ["road", "water"]), ("cloudy", [])]
    for night in range(1, 4):
        chips = [
            scored(f"{night}/{n}", *kinds[n % 3][1], sky=kinds[n % 3][0]) for n in range(10 * night)
        ]
        publish(output, f"run-{night}", chips, night=f"2026-07-0{night}")
    by_hand: Counter[tuple[str, str]] = Counter()
    for file in Path(output, "chip_scores").rglob("*.parquet"):
        run_date = file.parent.parent.name.removeprefix("run_date=")
        by_hand.update((run_date, sky) for sky in pq.read_table(file)["sky_label"].to_pylist())
    answer = rows(output, "SELECT run_date, sky_label, count(*) FROM chip_scores GROUP BY ALL")
    assert {(night, sky): count for night, sky, count in answer} == dict(by_hand)
    roads = "SELECT count(*) FROM chip_scores WHERE score_road > 0.5 AND run_date > '2026-07-01'"
    assert rows(output, roads) == [(7 + 10,)]


def test_rows_of_a_run_that_is_not_published_are_not_seen(output: str) -> None:
    """A publisher commits quarantine first; without the scores, the run is not published."""
    publish(output, "run-1", [scored("a")], [quarantined_row("b", "empty")], published_at=at(1, 3))
    commit_rows(output, QUARANTINE, "run-2", [quarantined_row("c", "truncated")])
    assert rows(output, "SELECT chip_uri, run_id FROM quarantine") == [("b", "run-1")]
    publish(output, "run-3", [], [quarantined_row("d", "empty")])
    assert rows(output, "SELECT chip_uri FROM quarantine ORDER BY 1") == [("b",), ("d",)]
    assert rows(output, "SELECT run_id FROM runs") == [("run-1",)]


def test_latest_chip_scores_has_each_chip_once_from_its_newest_publication(output: str) -> None:
    """run-2 was scored earlier but published later than run-1."""
    publish(output, "run-1", [scored("a"), scored("b")], published_at=at(3))
    earlier = [scored("a", "road", scored_at=at(1, 1)), scored("c")]
    publish(output, "run-2", earlier, published_at=at(4))
    latest = "SELECT chip_uri, run_id FROM latest_chip_scores ORDER BY 1"
    assert rows(output, latest) == [("a", "run-2"), ("b", "run-1"), ("c", "run-2")]
    assert query.ask(output, "FROM latest_chip_scores").column_names == list(SCORES.column_names)


def test_without_a_publication_time_the_time_of_scoring_is_used(output: str) -> None:
    publish(output, "run-1", [scored("a", scored_at=at(1))])
    publish(output, "run-2", [scored("a", scored_at=at(2))])
    assert rows(output, "SELECT run_id FROM latest_chip_scores") == [("run-2",)]


def test_the_newest_is_the_last_commit_whatever_the_clocks_say(output: str) -> None:
    """The first run's machine is two days ahead; the chip was replaced since, and scored again."""
    ahead = scored("a", "road", scored_at=at(3))
    publish(output, "ahead", [ahead], [quarantined_row("b", "empty", quarantined_at=at(3))],
            published_at=at(3), in_order=True)  # fmt: skip
    publish(output, "then", [scored("a", "water", etag="2"), scored("b")],
            published_at=at(1), in_order=True)  # fmt: skip
    newest = "SELECT chip_uri, run_id FROM latest_chip_scores ORDER BY 1"
    assert rows(output, newest) == [("a", "then"), ("b", "then")]
    assert rows(output, "SELECT chip_uri FROM open_quarantine") == []
    assert [row["threat"] for row in asked(output, "alerts_last_night")] == []

    publish(output, "again", [scored("a", scored_at=at(2))], published_at=at(2), in_order=True)
    publish(output, "bad", [], [quarantined_row("b", "empty", quarantined_at=at(1))],
            published_at=at(1), in_order=True)  # fmt: skip
    pictures = "SELECT chip_uri, etag, run_id FROM observations ORDER BY 1, 2"
    assert rows(output, pictures) == [("a", "1", "again"), ("a", "2", "then"), ("b", "1", "then")]
    assert rows(output, newest) == [("a", "again"), ("b", "then")]
    assert rows(output, "SELECT chip_uri, run_id FROM open_quarantine") == [("b", "bad")]


def test_a_run_without_a_row_is_the_newest_and_runs_of_earlier_releases_are_the_oldest(
    output: str,
) -> None:
    newest = "SELECT run_id FROM latest_chip_scores"
    publish(output, "now", [scored("a", scored_at=at(2))], published_at=at(2), in_order=True)
    publish(output, "old", [scored("a", scored_at=at(5))], published_at=at(5))
    assert rows(output, newest) == [("now",)]
    publish(output, "unfinished", [scored("a", scored_at=at(1))])
    assert rows(output, newest) == [("unfinished",)]


def test_new_labels_make_no_score_newer(output: str) -> None:
    """A relabelling is committed last, and is of the scores before the last."""
    publish(output, "first", [scored("a", "road")], published_at=at(1), in_order=True)
    publish(output, "second", [scored("a", scored_at=at(1))], published_at=at(1), in_order=True)
    commit_rows(output, SCORES, "relabel", [scored("a", "road", "water")])
    newest = "SELECT run_id FROM latest_chip_scores"
    assert rows(output, newest) == [("second",)]
    row = run_row(at(1), kind="relabel", commit_version=3)
    commit_rows(output, RUNS, "relabel", [row])
    assert rows(output, newest) == [("second",)]
    commit_rows(output, SCORES, "second", [], replace=True)  # withdrawn
    assert rows(output, newest) == [("relabel",)]


def test_of_publications_at_the_same_time_always_the_same_one_wins(output: str) -> None:
    for run_id in ("run-2", "run-3", "run-1"):
        publish(output, run_id, [scored("a")], published_at=at(2))
    assert rows(output, "SELECT run_id FROM latest_chip_scores") == [("run-3",)]


def test_a_picture_is_one_observation_even_if_it_was_scored_several_times(output: str) -> None:
    box = {"lon_min": -60.0, "lat_min": -3.0, "lon_max": -59.5, "lat_max": -2.5}
    publish(output, "run-1", [scored("a"), scored("b", observed_at=at(9, month=5), **box)])
    publish(output, "run-2", [scored("a", model_digest="model-2", scored_at=at(2))])
    publish(output, "run-3", [scored("a", sky="cloudy", etag="2", scored_at=at(3))])
    answer = rows(
        output,
        "SELECT chip_uri, etag, run_id, place, seen_at, observed FROM observations "
        "ORDER BY chip_uri, etag",
    )
    assert answer == [
        ("a", "1", "run-2", "a", "2026-07-01T02:00:00Z", True),
        ("a", "2", "run-3", "a", "2026-07-03T00:00:00Z", False),
        ("b", "1", "run-1", "-59.75 -2.75", "2026-05-09T00:00:00Z", True),
    ]


def test_a_picture_without_a_time_was_seen_when_it_was_written_or_first_scored(output: str) -> None:
    """Scoring it again moves neither; a column says which time it is."""
    tagged = {"observed_at": at(1, month=1), "observed_at_source": "tif_tags"}
    first = [
        scored("given", observed_at=at(1, month=2), modified_at=at(9)),
        scored("tagged", **tagged),
        scored("written", modified_at=at(1, month=3)),
        scored("unknown", scored_at=at(1)),
    ]
    publish(output, "run-1", first)
    again = [
        scored("written", modified_at=at(1, month=4), scored_at=at(2)),
        scored("unknown", scored_at=at(2)),
        scored("unknown", etag="2", scored_at=at(3)),
    ]
    publish(output, "run-2", again, night="2026-07-02")
    seen = "SELECT chip_uri, etag, run_id, seen_at, seen_at_source FROM observations ORDER BY ALL"
    assert rows(output, seen) == [
        ("given", "1", "run-1", "2026-02-01T00:00:00Z", "given"),
        ("tagged", "1", "run-1", "2026-01-01T00:00:00Z", "tif_tags"),
        ("unknown", "1", "run-2", "2026-07-01T00:00:00Z", "scored_at"),
        ("unknown", "2", "run-2", "2026-07-03T00:00:00Z", "scored_at"),
        ("written", "1", "run-2", "2026-03-01T00:00:00Z", "modified_at"),
    ]


def test_without_a_sky_group_every_chip_is_observed(output: str) -> None:
    labels = LabelSet(("mobile-home", "river"))
    chips = [scored("a", "river", sky=None, label_set=labels)]
    publish(output, "run-1", chips, label_set=labels)
    answer = rows(output, "SELECT observed, score_mobile_home, labels FROM observations")
    assert answer == [(True, 0.25, ["river"])]


def test_tables_that_the_sql_does_not_name_are_not_opened(output: str) -> None:
    publish(output, "run-1", [scored("a")], [quarantined_row("b", "empty")], published_at=at(2))
    for name in ("quarantine", "runs"):
        for entry in Path(output, name, "_delta_log").iterdir():
            entry.write_text("broken")
    assert rows(output, "SELECT chip_uri FROM chip_scores") == [("a",)]
    for sql in ("FROM QUARANTINE", "FROM runs", "FROM latest_chip_scores", "FROM observations"):
        with pytest.raises(StorageError, match="cannot open"):
            query.ask(output, sql)


def test_a_missing_data_file_is_not_reported_as_wrong_sql(output: str) -> None:
    publish(output, "run-1", [scored("a")])
    next(Path(output, "chip_scores").rglob("*.parquet")).unlink()
    with pytest.raises(StorageError, match="cannot read the tables"):
        query.ask(output, "SELECT chip_uri FROM chip_scores")


def test_python_variables_are_not_visible_as_tables(output: str) -> None:
    with pytest.raises(UsageError, match="scores does not exist"):
        query.ask(output, "SELECT * FROM scores")


def test_tables_in_object_stores_can_be_queried_too(object_store_uri: str) -> None:
    output = f"{object_store_uri}/forest"
    with pytest.raises(UsageError, match="there is no OUTPUT"):
        query.ask(output, "FROM runs")
    assert rows(object_store_uri, "SELECT count(*) FROM chip_scores") == [(0,)]
    publish(output, "run-1", [scored("a"), scored("b")], [quarantined_row("c", "empty")])
    assert rows(output, "SELECT count(*) FROM latest_chip_scores") == [(2,)]
    assert rows(output, "SELECT chip_uri FROM quarantine") == [("c",)]


# --------------------------------------------------------------------------- the five questions


def test_alerts_last_night(output: str) -> None:
    publish(output, "run-1", [scored("old", "road")], night="2026-07-01")
    night = [
        scored("mined", "conventional_mine", "road", score_conventional_mine=0.99, scene_id="s"),
        scored("forest", "primary"),
        scored("hazy", "slash_burn", sky="haze"),
        scored("clouded", "road", "artisinal_mine", sky="cloudy", score_road=1.0),
    ]
    publish(output, "run-2", [*night, scored("redone", "road")], night="2026-07-02")
    redone = [scored("redone", "selective_logging", scored_at=at(2, 5))]
    publish(output, "run-3", redone, night="2026-07-02")
    answer = asked(output, "alerts_last_night")
    assert picked(answer, "chip_uri", "threat", "sky_label") == [
        ("mined", "conventional_mine", "clear"),
        ("hazy", "slash_burn", "haze"),
        ("mined", "road", "clear"),
        ("redone", "selective_logging", "clear"),
    ]
    assert [round(row["score"], 6) for row in answer] == [0.99, 0.75, 0.75, 0.75]
    assert {row["run_date"] for row in answer} == {date(2026, 7, 2)}
    assert answer[0]["scene_id"] == "s"


def test_every_threat_has_its_score_in_the_alerts(output: str) -> None:
    threats = [threat for (threat,) in rows(output, "FROM threats")]
    distinct = {f"score_{threat}": 0.5 + n / 16 for n, threat in enumerate(threats)}
    publish(output, "run-1", [scored("a", etag="1", scored_at=at(1))])
    later = scored("a", *threats, etag="2", scored_at=at(2), **distinct)
    publish(output, "run-2", [later], night="2026-07-02")
    for question in ("alerts_last_night", "newly_appeared"):
        answer = asked(output, question)
        assert {f"score_{row['threat']}": row["score"] for row in answer} == distinct


def test_land_use_by_month(output: str) -> None:
    """Of July's four pictures one is cloudy: shares are of three. In August all are cloudy. A
    picture of a day after its scoring has a wrong date, so it is in no month."""
    july = [
        scored("a", "agriculture", "cultivation"),
        scored("b", "agriculture", sky="haze"),
        scored("c", "primary", sky="partly_cloudy"),
        scored("d", "agriculture", "habitation", sky="cloudy"),
    ]
    june = [scored("e", "habitation", observed_at=at(30, 23, month=6))]
    august = [scored("f", sky="cloudy", scored_at=at(1, month=8))]
    wrong = [scored("g", "habitation", observed_at=at(1, month=9), scored_at=at(2))]
    publish(output, "run-1", [*july, *june, *august, *wrong])
    assert [tuple(row.values()) for row in asked(output, "land_use_by_month")] == [
        (date(2026, 6, 1), 1, 0, 0.0, 0.0, 1.0, None),
        (date(2026, 7, 1), 3, 1, 0.6667, 0.3333, 0.0, None),
        (date(2026, 8, 1), 0, 1, None, None, None, None),
    ]


def test_never_observed(output: str) -> None:
    """A place counts as observed with its first picture that is not cloudy, under any chip_uri."""
    box = {"lon_min": -60.0, "lat_min": -3.0, "lon_max": -59.99, "lat_max": -2.99}
    other = {"lon_min": -61.0, "lat_min": -3.0, "lon_max": -60.99, "lat_max": -2.99}
    first = [
        scored("a1", sky="cloudy", observed_at=at(1), **box),
        scored("b1", sky="cloudy", observed_at=at(1), scene_id="scene-1", **other),
        scored("c", sky="cloudy", etag="1"),
        scored("d", sky="haze"),
    ]
    second = [
        scored("a2", sky="partly_cloudy", observed_at=at(2), **box),
        scored("b2", sky="cloudy", observed_at=at(2), scene_id="scene-2", **other),
        scored("c", sky="cloudy", model_digest="model-2", etag="1"),
    ]
    publish(output, "run-1", [{**chip, "scored_at": at(3)} for chip in first])
    publish(output, "run-2", [{**chip, "scored_at": at(3)} for chip in second], night="2026-07-02")
    update_places(output, 6)  # one cell for each box
    cell = h3.latlng_to_cell(-2.995, -60.995, 6)
    lat, lon = h3.cell_to_latlng(cell)
    answer = asked(output, "never_observed")
    assert picked(answer, "place_id", "cloudy_pictures", "a_chip_uri", "a_scene_id") == [
        (cell, 2, "b2", "scene-2"),
        ("c", 1, "c", None),
    ]
    assert (answer[0]["first_tried_at"], answer[0]["last_tried_at"]) == (at(1), at(2))
    assert answer[0]["lon_min"] == -61.0
    assert (answer[0]["longitude"], answer[0]["latitude"]) == pytest.approx((lon, lat))
    assert picked(answer, "place") == [(f"{round(lon, 4)} {round(lat, 4)}",), ("c",)]
    assert (answer[1]["longitude"], answer[1]["latitude"]) == (None, None)


def test_newly_appeared(output: str) -> None:
    """A cloudy picture between two looks is skipped, and a new score is not a new picture."""
    looks: list[list[dict[str, Any]]] = [
        [
            scored("cut", "primary", etag="1"),
            scored("old", "road", etag="1"),
            scored("under cloud", "primary", etag="1"),
            scored("first seen", sky="cloudy", etag="1"),
            scored("rescored", "primary", etag="1"),
            scored("back", "road", etag="1"),
        ],
        [
            scored("cut", "slash_burn", sky="cloudy", etag="2"),
            scored("old", "primary", sky="cloudy", etag="2"),
            scored("back", "primary", sky="partly_cloudy", etag="2"),
        ],
        [
            scored("cut", "road", "slash_burn", sky="haze", etag="3"),
            scored("old", "road", etag="3"),
            scored("under cloud", "road", sky="cloudy", etag="3"),
            scored("first seen", "road", etag="3"),
            scored("rescored", "road", etag="1", model_digest="model-2"),
            scored("back", "road", etag="3", model_digest="model-2", score_road=0.625),
        ],
    ]
    for number, chips in enumerate(looks, start=1):
        chips = [{**chip, "scored_at": at(number)} for chip in chips]
        publish(output, f"run-{number}", chips, night=f"2026-07-0{number}")
    answer = asked(output, "newly_appeared")
    assert picked(answer, "place", "threat", "score", "previous_sky_label", "same_model") == [
        ("cut", "road", 0.75, "clear", True),
        ("cut", "slash_burn", 0.75, "clear", True),
        ("back", "road", 0.625, "partly_cloudy", False),
    ]
    assert picked(answer, "seen_at", "previous_seen_at") == [
        (at(3), at(1)),
        (at(3), at(1)),
        (at(3), at(2)),
    ]


def test_a_place_is_compared_across_chips_of_any_cut(output: str) -> None:
    box = {"lon_min": -60.0, "lat_min": -3.0, "lon_max": -59.99, "lat_max": -2.99}
    cut = {"lon_min": -59.994, "lat_min": -2.996, "lon_max": -59.984, "lat_max": -2.986}
    may, june = at(1, month=5), at(1, month=6)
    publish(output, "run-1", [scored("may/a", "primary", observed_at=may, **box)])
    publish(output, "run-2", [scored("june/a", "road", observed_at=june, **cut)])
    update_places(output)
    answer = asked(output, "newly_appeared")
    assert set(picked(answer, "threat", "chip_uri", "previous_chip_uri")) == {
        ("road", "june/a", "may/a")
    }
    seen = [place for (place,) in picked(answer, "place_id")]
    both = cells_in(box) & cells_in(cut)
    assert sorted(seen) == sorted(both)
    assert cells_in(cut) - both
    for row in answer:
        lat, lon = h3.cell_to_latlng(row["place_id"])
        assert (row["longitude"], row["latitude"]) == pytest.approx((lon, lat))
        assert row["place"] == f"{round(lon, 4)} {round(lat, 4)}"


def cells_in(box: dict[str, float]) -> set[str]:
    west, south, east, north = box.values()
    corners = [(south, west), (south, east), (north, east), (north, west)]
    return set(h3.h3shape_to_cells(h3.LatLngPoly(corners), 9))


def test_a_cloudy_picture_and_one_dated_after_its_scoring_are_no_looks(output: str) -> None:
    chips = [
        scored("seen", sky="haze", observed_at=at(1), scored_at=at(3)),
        scored("hidden", sky="cloudy", observed_at=at(1), scored_at=at(3)),
        scored("wrong", observed_at=at(4), scored_at=at(3)),
        scored("at once", observed_at=at(3), scored_at=at(3)),
        scored("undated", scored_at=at(3), modified_at=at(2)),
    ]
    publish(output, "run-1", chips, published_at=at(3))
    again = scored("wrong", observed_at=at(4), scored_at=at(5))
    publish(output, "run-2", [again], night="2026-07-05", published_at=at(5))
    sql = "SELECT place_id, chip_uri, seen_at, seen_at_source, etag, labels, score_road FROM looks"
    assert rows(output, f"{sql} ORDER BY 1") == [
        ("at once", "at once", "2026-07-03T00:00:00Z", "given", "1", ["clear"], 0.25),
        ("seen", "seen", "2026-07-01T00:00:00Z", "given", "1", ["haze"], 0.25),
        ("undated", "undated", "2026-07-02T00:00:00Z", "modified_at", "1", ["clear"], 0.25),
    ]


def test_pictures_of_the_same_time_have_no_order(output: str) -> None:
    """What appeared is in every picture of the newest time, and in none of the time before."""
    box = {"lon_min": -60.0, "lat_min": -3.0, "lon_max": -59.99, "lat_max": -2.99}
    west = {**box, "lon_min": -61.0, "lon_max": -60.99}
    north = {**box, "lat_min": 3.0, "lat_max": 3.01}
    tied = [
        scored("b", "road", observed_at=at(2), **box),
        scored("a", observed_at=at(2), **box),
        scored("a-west", observed_at=at(1), **west),
        scored("b-west", "road", observed_at=at(1), **west),
        scored("c-west", "road", "slash_burn", observed_at=at(2), **west),
        scored("a-north", observed_at=at(1), **north),
        scored("b-north", "road", observed_at=at(2), score_road=0.5, **north),
        scored("c-north", "road", "slash_burn", observed_at=at(2), **north),
    ]
    publish(output, "run-1", [{**chip, "scored_at": at(3)} for chip in tied])
    update_places(output, 6)  # one cell for each box
    answer = asked(output, "newly_appeared")
    assert picked(answer, "threat", "chip_uri", "previous_chip_uri") == [
        ("road", "c-north", "a-north"),
        ("slash_burn", "c-west", "b-west"),
    ]
    assert picked(answer, "seen_at_source", "previous_seen_at_source") == [("given", "given")] * 2


def test_quarantine_last_night(output: str) -> None:
    publish(
        output, "run-1", [scored("a")], [quarantined_row("old", "wrong_size")], night="2026-07-01"
    )
    broken = [quarantined_row(uri, "truncated") for uri in ("t2", "t1", "t3")]
    broken.append(quarantined_row("e", "empty"))
    publish(output, "run-2", [scored("a"), scored("b", sky="cloudy")], broken, night="2026-07-02")
    publish(output, "run-3", [], [quarantined_row("t1", "truncated")], night="2026-07-02")
    commit_rows(output, QUARANTINE, "run-4", [quarantined_row("x", "empty")], night="2026-07-03")
    answer = asked(output, "quarantine_last_night")
    assert picked(answer, "reason", "chips", "share_of_night", "a_chip_uri", "a_message") == [
        ("truncated", 3, 0.5, "t1", "truncated it is"),
        ("empty", 1, 0.1667, "e", "empty it is"),
    ]
    assert {row["run_date"] for row in answer} == {date(2026, 7, 2)}


def test_the_last_night_is_that_of_the_last_published_run_even_without_a_chip(output: str) -> None:
    assert rows(output, "FROM last_night") == []
    road, bad = [scored("a", "road")], [quarantined_row("b", "empty")]
    publish(output, "run-1", road, bad, published_at=at(1, 3))
    answers = {name: len(asked(output, name)) for name in LAST_NIGHT}
    assert answers == dict.fromkeys(LAST_NIGHT, 1)
    publish(output, "run-2", night="2026-07-02", published_at=at(2, 3))
    assert rows(output, "FROM last_night") == [("2026-07-02",)]
    answers = {name: len(asked(output, name)) for name in LAST_NIGHT}
    assert answers == dict.fromkeys(LAST_NIGHT, 0)
    noted(output, "run-3", "2026-07-03", kind="replay")
    assert rows(output, "FROM last_night") == [("2026-07-03",)]


@pytest.mark.parametrize(
    "of_run",
    [{"status": "held"}, {"status": "failed"}, {"status": "withdrawn"}, {"kind": "relabel"}],
    ids=lambda of_run: next(iter(of_run.values())),
)
def test_a_run_without_rows_of_its_own_night_does_not_make_it_the_last(
    output: str, of_run: dict[str, str]
) -> None:
    publish(output, "run-1", [scored("a", "road")], published_at=at(1, 3))
    noted(output, "run-2", "2026-07-02", **of_run)
    assert rows(output, "FROM last_night") == [("2026-07-01",)]
    assert picked(asked(output, "alerts_last_night"), "chip_uri") == [("a",)]


def noted(output: str, run_id: str, night: str, **of_run: str) -> None:
    """A run with a row in runs; one that is published is so in chip_scores, too."""
    if of_run.get("status", "published") == "published":
        publish(output, run_id, night=night)
    commit_rows(output, RUNS, run_id, [run_row(at(2, 3), **of_run)], night)


def test_the_row_in_runs_may_be_missing_for_a_moment(output: str) -> None:
    publish(output, "run-1", [scored("a", "road")], published_at=at(1, 3))
    publish(output, "run-2", [scored("b", "road")], night="2026-07-02")
    assert picked(asked(output, "alerts_last_night"), "chip_uri") == [("b",)]


def test_each_question_and_view_starts_with_a_comment_on_what_it_answers() -> None:
    for text in (*query.QUESTIONS.values(), *query.VIEWS.values()):
        assert text.startswith("-- ")
    assert len(query.QUESTIONS) == 5


# --------------------------------------------------------------------------- the answer's form

ODD = """
SELECT NULL AS nothing, true AS flag, 0.1::FLOAT AS small, 'NaN'::DOUBLE AS no_number,
  170141183460469231731687303715884105727::HUGEINT AS huge, 1.25::DECIMAL(5, 2) AS exact,
  ['x', NULL, 'y|"z"'] AS list, {'a': 1, 'b': [2.5::FLOAT]} AS struct, DATE '2026-07-01' AS day,
  TIMESTAMPTZ '2026-07-01 12:00:00+02' AS zoned, TIMESTAMP '2026-07-01 12:00:00.5' AS local,
  INTERVAL '1 month 2 days 3.5 seconds' AS span, TIME '06:30' AS clock,
  E'tab\\t, "quote"\\nline — é' AS text
"""
ODD_VALUES = {
    "nothing": None,
    "flag": True,
    "small": 0.1,
    "no_number": None,
    "huge": 170141183460469231731687303715884105727,
    "exact": 1.25,
    "list": ["x", None, 'y|"z"'],
    "struct": {"a": 1, "b": [2.5]},
    "day": "2026-07-01",
    "zoned": "2026-07-01T10:00:00Z",
    "local": "2026-07-01T12:00:00.500000",
    "span": "P1M2DT3.5S",
    "clock": "06:30:00",
    "text": 'tab\t, "quote"\nline — é',
}


def test_json_is_one_array_of_objects(output: str) -> None:
    answer = query.ask(output, f"{ODD} UNION ALL {ODD}")
    assert json.loads(as_json(answer)) == [ODD_VALUES, ODD_VALUES]
    assert "—" in as_json(answer)
    assert as_json(answer.slice(0, 0)) == "[]\n"


def test_json_refuses_two_columns_of_one_name(output: str) -> None:
    with pytest.raises(UsageError, match="use AS for a"):
        as_json(query.ask(output, "SELECT 1 AS a, 2 AS a, 3 AS b"))


def test_csv_is_read_back_with_the_same_values(output: str) -> None:
    text = as_csv(query.ask(output, ODD))
    header, row = list(csv.reader(io.StringIO(text, newline="")))
    assert header == list(ODD_VALUES)
    assert row[header.index("text")] == ODD_VALUES["text"]
    assert row[:5] == ["", "true", "0.1", "", str(ODD_VALUES["huge"])]
    assert json.loads(row[header.index("list")]) == ODD_VALUES["list"]
    assert text.endswith("\r\n")
    assert text.count("\r\n") == 2


FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", "-x"]


def test_no_text_of_a_csv_is_a_formula_for_a_spreadsheet_unless_asked_raw(
    output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Numbers with a sign and positions are no formulas."""
    plain = ["-59.75 -2.75", "-1", "+1.5", "a=b", "", "chips/-x"]
    publish(output, "run-1", [scored(text, etag=text) for text in [*FORMULAS, *plain] if text])
    sql = "SELECT chip_uri, etag, -1.5 AS minus FROM chip_scores"
    for flags, marks in ((), "'"), (("--raw",), ""):
        arguments = ["--output", output, "--format", "csv", *flags, sql]
        assert exit_code(query.main, arguments) == 0
        _, *found = csv.reader(io.StringIO(capsys.readouterr().out, newline=""))
        expected = {marks + text for text in FORMULAS} | {text for text in plain if text}
        assert {row[0] for row in found} == {row[1] for row in found} == expected
        assert {row[2] for row in found} == {"-1.5"}
    assert exit_code(query.main, ["--output", output, "--raw", sql]) == 2


def test_sql_reads_no_file_but_those_that_are_attached(
    output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("areas.csv", "secret.csv", "it's.csv"):
        Path(name).write_text("name\nnorth\n")
    attached = ["areas.csv", str(tmp_path / "it's.csv")]
    for source in ("'areas.csv'", f"read_csv('{tmp_path}/areas.csv')", "'it''s.csv'"):
        answer = query.ask(output, f"SELECT name FROM {source}", attached=attached)
        assert answer.to_pylist() == [{"name": "north"}]
    closed = ["'secret.csv'", "read_text('/etc/hostname')", "glob('*')", "'https://x.org/a.csv'",
              "'s3://bucket/a.parquet'", "ST_Read('areas.shp')"]  # fmt: skip
    for source in closed:
        with pytest.raises(UsageError):
            query.ask(output, f"FROM {source}", attached=attached)
    with pytest.raises(UsageError, match="with --attach"):
        query.ask(output, "FROM 'areas.csv'")
    with pytest.raises(UsageError, match="there is no such file"):
        query.ask(output, "SELECT 1", attached=["none.csv"])


def test_a_table_is_aligned_with_numbers_to_the_right(output: str) -> None:
    sql = "SELECT * FROM (VALUES ('a', 1.5, NULL), ('日本\n', 10.25, 'é')) AS t (name, n, note)"
    assert as_table(query.ask(output, sql)).splitlines() == [
        "name   |     n | note",
        "-------+-------+-----",
        "a      |   1.5 | NULL",
        "日本\\n | 10.25 | é",
    ]


def test_a_table_has_all_rows_and_all_columns(output: str) -> None:
    sql = "SELECT i, " + ", ".join(f"i + {n} AS c{n}" for n in range(30)) + " FROM range(1000) t(i)"
    lines = as_table(query.ask(output, sql)).splitlines()
    assert len(lines) == 1002
    assert {line.count("|") for line in lines if "-+-" not in line} == {30}


@pytest.mark.parametrize("form", [as_table, as_csv, as_json])
def test_scores_keep_their_float32_value(output: str, form: Any) -> None:
    publish(output, "run-1", [scored("a", score_road=0.1), scored("b", score_road=1 / 3)])
    text = form(query.ask(output, "SELECT score_road FROM chip_scores ORDER BY chip_uri"))
    assert "0.1" in text
    assert "0.10000" not in text
    assert "0.33333334" in text


# --------------------------------------------------------------------------- the command


def test_the_command_prints_the_answer_and_nothing_else(output: str) -> None:
    publish(output, "run-1", [scored("a"), scored("b")], published_at=at(2))
    code = (
        "import sys; from beam_jobs.query import main; code = main(sys.argv[1:]);"
        "assert not {'apache_beam', 'tensorflow', 'keras'} & {*sys.modules}; sys.exit(code)"
    )
    sql = "SELECT chip_uri, labels FROM latest_chip_scores ORDER BY 1"
    arguments = ["--output", "output", "--format", "json", sql]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        check=True,
        cwd=Path(output).parent,
        env={**os.environ, "PYTHONPATH": os.getcwd(), "PYTHONIOENCODING": "ascii"},
    )
    assert json.loads(done.stdout) == [
        {"chip_uri": "a", "labels": ["clear"]},
        {"chip_uri": "b", "labels": ["clear"]},
    ]
    assert done.stderr == b""


def test_a_question_by_name_is_its_sql(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    publish(output, "run-1", [scored("a", "road")])
    arguments = ["--output", output, "--format", "csv"]
    assert query.main([*arguments, "--question", "alerts_last_night"]) == 0
    by_name = capsys.readouterr().out
    assert query.main([*arguments, query.QUESTIONS["alerts_last_night"]]) == 0
    assert capsys.readouterr().out == by_name
    assert by_name.count("\n") == 2


def test_the_questions_can_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert query.main(["--list_questions"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[0] for line in listed] == sorted(query.QUESTIONS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["SELECT 1"], "--output is missing"),
        (["--output", "OUTPUT"], "one SELECT or one --question"),
        (["--output", "OUTPUT", "--question", "never_observed", "SELECT 1"], "one SELECT or one"),
        (["--output", "OUTPUT", "--question", "no_such"], "invalid choice: 'no_such'"),
        (["--output", "OUTPUT", "--form", "csv", "SELECT 1"], "--form"),
        (["--output", "OUTPUT", "SELEC 1"], 'syntax error at or near "SELEC"'),
        (["--output", "OUTPUT", "SELECT * FROM chips"], "chips does not exist"),
        (["--output", "OUTPUT", "SELECT no_such FROM runs"], "no_such"),
        (["--output", "OUTPUT", "SELECT 'x'::INT"], "Could not convert"),
        (["--output", "OUTPUT", "SELECT TIMESTAMP 'infinity' AS t"], "t has times outside"),
        (["--output", "OUTPUT", ""], "must be one SELECT"),
        (["--output", "OUTPUT", "SELECT 1; SELECT 2"], "must be one SELECT"),
        (["--output", "OUTPUT", "CREATE TABLE t (a INT)"], "must be one SELECT"),
        (["--output", "OUTPUT", "COPY runs TO 'runs.csv'"], "must be one SELECT"),
        (["--output", "OUTPUT", "ATTACH 'here.db'"], "must be one SELECT"),
        (["--output", "OUTPUT/nowhere", "SELECT 1"], "there is no OUTPUT at"),
        (["--output", "ftp://host/out", "SELECT 1"], "use a local path, gs:// or s3://"),
    ],
)
def test_a_usage_error_is_reported_in_one_line(
    output: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [argument.replace("OUTPUT", output) for argument in arguments]
    try:
        code = exit_code(query.main, arguments)
    except SystemExit as left:  # argparse's own way
        code = int(left.code or 0)
    printed = capsys.readouterr()
    assert code == 2
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err


def test_a_broken_table_is_a_failure_and_not_a_usage_error(
    output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(output, "run-1", [scored("a")])
    next(Path(output, "chip_scores").rglob("*.parquet")).write_bytes(b"no parquet")
    assert exit_code(query.main, ["--output", output, "SELECT chip_uri FROM chip_scores"]) == 1
    assert capsys.readouterr().err.startswith(
        "error: chip_scores/run_date=2026-07-01/run_id=run-1/"
    )


def test_a_reader_that_closes_the_pipe_early_is_not_an_error(output: str) -> None:
    sql = "SELECT repeat('x', 1000) FROM range(2000)"
    command = [sys.executable, "-m", "beam_jobs.query", "--output", output, sql]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as asking:
        assert asking.stdout is not None
        assert asking.stderr is not None
        asking.stdout.readline()
        asking.stdout.close()
        assert asking.stderr.read() == b""
    assert asking.returncode == 0
