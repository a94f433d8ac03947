"""The tables of alerts follow the published looks, whatever their order."""

import shutil
from collections import Counter
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from beam_jobs.query import ask
from pipelines.alerts.updating import Request, update_alerts
from schemas.alert_tables import ALERT_TABLES
from tests.support.alert_worlds import (
    LABELS,
    START,
    World,
    expected_rows,
    found_rows,
    in_nights,
    random_pictures,
    relabelled,
    whole_table,
)

REQUEST = Request(labels=LABELS)


def check_changes(output: str) -> None:
    """The changes of each alert follow each other, and end with its status."""
    rows = ask(output, "FROM alert_changes ORDER BY alert_id, step").to_pylist()
    by_alert: dict[str, list[dict]] = {}
    for row in rows:
        by_alert.setdefault(row["alert_id"], []).append(row)
    for changes in by_alert.values():
        assert [change["step"] for change in changes] == list(range(1, len(changes) + 1))
        assert changes[0]["from_status"] is None
        assert all(a["to_status"] == b["from_status"] for a, b in pairwise(changes))
        assert all(a["from_status"] != a["to_status"] for a in changes)
    last = {alert: changes[-1]["to_status"] for alert, changes in by_alert.items()}
    kept = {alert: status for alert, status in last.items() if status != "retracted"}
    assert kept == {row["alert_id"]: row["status"] for row in found_rows(output)}


def check(world: World, request: Request = REQUEST, **more) -> None:
    """An update has the rows that the rule says, a second one adds nothing, and both are what a
    computation of everything has."""
    update_alerts(world.output, request)
    assert found_rows(world.output) == expected_rows(world, **more)
    check_changes(world.output)
    before = {name: whole_table(world.output, name) for name in ("alerts", "sites")}
    changes = ask(world.output, "FROM alert_changes").num_rows
    assert update_alerts(world.output, request).unchanged
    assert ask(world.output, "FROM alert_changes").num_rows == changes
    forget(world.output)
    update_alerts(world.output, request)
    assert {name: whole_table(world.output, name) for name in before} == before


def forget(output: str) -> None:
    """Remove the rows of alerts, so that the next update computes everything."""
    for name in ("alerts", "sites"):
        shutil.rmtree(Path(output, name))


@pytest.mark.parametrize("seed", range(2))
def test_alerts_are_those_of_the_rule_after_late_pictures_new_scores_and_withdrawals(
    tmp_path, seed
):
    draw = Random(seed)
    world = World(str(tmp_path / "out"))
    nights = in_nights(draw, random_pictures(draw), 4)
    statuses: Counter[str] = Counter()
    for rows in nights:
        world.publish(rows)
        check(world)
        statuses.update(row["status"] for row in found_rows(world.output))
    assert {"low", "high", "dropped", "ended"} <= set(statuses)
    newest = [picture for picture in world.pictures() if draw.random() < 0.5]
    world.publish(relabelled(draw, newest), relabel=True)
    check(world)
    again = [row | {"scored_at": row["scored_at"] + timedelta(days=9)} for row in nights[1][::2]]
    world.publish([row | {"model_digest": "m-2"} for row in relabelled(draw, again)])
    check(world)
    world.withdraw(world.runs[-1])
    check(world)
    assert "retracted" in ask(world.output, "FROM alert_changes")["to_status"].to_pylist()


@pytest.mark.parametrize("seed", range(2))
def test_the_same_pictures_in_any_order_and_any_cut_have_the_same_rows(tmp_path, seed):
    draw = Random(seed)
    pictures = random_pictures(draw, 500)
    tables = []
    for name, nights in (("a", 1), ("b", 3), ("c", 5)):
        world = World(str(tmp_path / name))
        for rows in in_nights(draw, draw.sample(pictures, len(pictures)), nights):
            world.publish(rows)
            if name != "b":
                update_alerts(world.output, REQUEST)
        extra = world.publish(random_pictures(Random(seed + 100), 50), "extra")
        update_alerts(world.output, REQUEST)
        world.withdraw(extra)
        update_alerts(world.output, REQUEST)
        tables.append([whole_table(world.output, table) for table in ("alerts", "sites")])
    assert len(tables[0][0]) > 20
    assert tables[1:] == tables[:1] * 2


@pytest.mark.parametrize("seed", range(1))
def test_baseline_and_as_of_are_followed_kept_and_changed(tmp_path, seed):
    draw = Random(seed)
    world = World(str(tmp_path / "out"))
    first, second = in_nights(draw, random_pictures(draw, 700), 2)
    world.publish(first)
    day = (START + timedelta(days=90)).date()
    for days in (200, 150, 260):  # forwards, back, and forwards again
        as_of = START + timedelta(days=days, hours=9)
        check(world, Request(LABELS, day, as_of=as_of), as_of=as_of, baseline=day)
    world.publish(second)
    update_alerts(world.output, Request(as_of=as_of))
    assert found_rows(world.output) == expected_rows(world, as_of, day)
    update_alerts(world.output, Request())
    assert found_rows(world.output) == expected_rows(world, baseline=day)
    update_alerts(world.output, Request(LABELS, reset=True))
    assert found_rows(world.output) == expected_rows(world)


def test_each_table_exists_after_an_update(tmp_path):
    world = World(str(tmp_path / "out"))
    world.publish([])
    outcome = update_alerts(world.output, REQUEST)
    assert outcome.state.as_of is None
    rows = {t.name: ask(world.output, f"FROM {t.name}").num_rows for t in ALERT_TABLES}
    assert rows == {t.name: int(t.name == "alert_updates") for t in ALERT_TABLES}
