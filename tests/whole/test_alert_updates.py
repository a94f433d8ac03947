"""An update of alerts that is killed, or meets another one: the next one ends with the right rows,
and every change is published once.

The seed is printed; SEED sets it, KILLS sets how often an update is killed at a random moment.
"""

import os
import random
import shutil
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from beam_jobs import update_alerts
from beam_jobs.query import ask
from tests.support.alert_worlds import LABELS, World, in_nights, random_pictures, whole_table
from tests.support.dying import die_at_commit
from tests.support.forked import Forked, fork

_KILLS = int(os.environ.get("KILLS", "4"))
_SEED = int(os.environ.get("SEED", str(random.randrange(1_000_000))))
_TABLES = ("places", "chip_places", "alert_changes", "sites", "alerts", "alert_updates")
_CHANGES = """SELECT alert_id, step, from_status, to_status, changed_at, as_of FROM alert_changes
ORDER BY alert_id, step"""

Rows = dict[str, list[dict]]


def seen(output: str) -> Rows:
    """What readers see, without the times of updates."""
    updates = "SELECT * EXCLUDE (published_at) FROM alert_updates ORDER BY update_number"
    return {
        "alerts": whole_table(output, "alerts"),
        "sites": whole_table(output, "sites"),
        "changes": ask(output, _CHANGES).to_pylist(),
        "updates": ask(output, updates).to_pylist(),
    }


def start(output: Path, prepare: Any = None) -> Forked:
    flags = ["--output", str(output), "--labels", *LABELS]
    log = output.with_name(f"{output.name}-{time.time_ns()}.log")
    # A killed update leaves its scratch folder.
    environment = {**os.environ, "TMPDIR": str(output.parent)}
    return fork(update_alerts.main, flags, log, prepare=prepare, environment=environment)


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> Path:
    """An OUTPUT with alerts, and a night that was published since."""
    folder: Path = tmp_path_factory.mktemp("alerts") / "begun"
    draw = random.Random(5)
    first, second = in_nights(draw, random_pictures(draw, 300), 2)
    world = World(str(folder))
    world.publish(first)
    assert start(folder).finish()[0] == 0
    world.publish(second)
    return folder


@pytest.fixture(scope="module")
def before(begun) -> Rows:
    return seen(str(begun))


@pytest.fixture(scope="module")
def wanted(begun, tmp_path_factory) -> tuple[Rows, float]:
    """What an update that is not killed leaves, and how long it takes."""
    output = copy_of(begun, tmp_path_factory.mktemp("whole"))
    began = time.monotonic()
    code, said = start(output).finish()
    assert code == 0, said
    return seen(str(output)), time.monotonic() - began


def copy_of(begun: Path, folder: Path) -> Path:
    return Path(shutil.copytree(begun, folder / "out"))


def check_next(output: Path, wanted: Rows) -> None:
    """The next update completes what was begun, and the one after it finds nothing."""
    code, said = start(output).finish()
    assert code == 0, said
    assert seen(str(output)) == wanted
    code, said = start(output).finish()
    assert (code, said.split(" since")[0]) == (0, "nothing is new")
    assert seen(str(output)) == wanted


@pytest.mark.parametrize("moment", ["in", "after"])
@pytest.mark.parametrize("table", _TABLES)
def test_an_update_killed_around_a_commit_is_completed_by_the_next(
    begun, before, wanted, tmp_path, table, moment
):
    output = copy_of(begun, tmp_path)
    code, _said = start(output, partial(die_at_commit, table, moment)).finish()
    assert code == -signal.SIGKILL
    assert seen(str(output))["alerts"] in (before["alerts"], wanted[0]["alerts"])
    check_next(output, wanted[0])


@pytest.mark.parametrize("kill", range(_KILLS))
def test_an_update_killed_at_any_moment_is_completed_by_the_next(begun, wanted, tmp_path, kill):
    moment = random.Random(_SEED * 1000 + kill).uniform(0, 1.1 * wanted[1])
    print(f"SEED={_SEED}, kill {kill}: after {moment:.3f} of {wanted[1]:.3f} s")
    output = copy_of(begun, tmp_path)
    command = start(output)
    time.sleep(moment)
    command.process.kill()
    command.process.join()
    check_next(output, wanted[0])


def test_of_several_updates_at_once_one_writes_and_the_others_find_its_rows(
    begun, wanted, tmp_path
):
    output = copy_of(begun, tmp_path)
    commands = [start(output) for _ in range(4)]
    for command in commands:
        code, said = command.finish()
        assert code == 0, said
    assert seen(str(output)) == wanted[0]


def test_updates_of_different_nights_at_once_end_with_the_newest(begun, tmp_path):
    """Each also finds what was published while it worked."""
    output = copy_of(begun, tmp_path)
    world = World(str(output))
    world.runs = [None, None]  # type: ignore[list-item]
    commands = []
    for number in range(3):
        commands.append(start(output))
        world.publish(random_pictures(random.Random(number), 40), f"more-{number}")
    assert [command.finish()[0] for command in commands] == [0, 0, 0]
    assert start(output).finish()[0] == 0
    found = seen(str(output))
    for name in ("alerts", "sites"):
        shutil.rmtree(output / name)
    assert start(output).finish()[0] == 0
    again = seen(str(output))
    assert {name: again[name] for name in ("alerts", "sites", "changes")} == {
        name: found[name] for name in ("alerts", "sites", "changes")
    }
    steps = [(change["alert_id"], change["step"]) for change in found["changes"]]
    assert len(set(steps)) == len(steps)
