"""The scoring command is killed at any moment; started again, it ends as if nothing had happened.

`make soak` kills it 100 times at random. The seed is printed; SEED sets it.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from beam_jobs.query import ask
from schemas.labels import PLANET_LABELS
from tests.support.dying import die_at_commit
from tests.support.forked import Forked
from tests.support.quick_scoring import start
from tests.support.samples import make_artifact, write_chips

_KILLS = int(os.environ.get("KILLS", "6"))
_SEED = int(os.environ.get("SEED", str(random.randrange(1_000_000))))
_CHIPS, _BROKEN = 14, 2
_NOTHING, _PUBLISHED = (0, 0, 0), (_CHIPS - _BROKEN, _BROKEN, 1)
_OLD, _NEW = (_CHIPS - 1, 1, 1), (_CHIPS - 4, 4, 1)
_RECORD_MISSING = (_CHIPS - _BROKEN, _BROKEN, 0)
_SEEN = """SELECT (SELECT count(*) FROM chip_scores), (SELECT count(*) FROM quarantine),
(SELECT count(*) FROM runs)"""
_CHIPS_SEEN = "SELECT chip_id FROM chip_scores UNION ALL SELECT chip_id FROM quarantine"


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with chips, two of them empty, and a model."""
    folder: Path = tmp_path_factory.mktemp("killed")
    for path in write_chips(folder / "chips", _CHIPS)[3:9:5]:
        path.write_bytes(b"")
    make_artifact(folder / "model")
    return folder


@pytest.fixture(scope="module")
def seconds(place) -> float:
    """How long the command takes when it is not killed."""
    score(place, "warm").finish()  # the first also starts what the others are forked from
    began = time.monotonic()
    assert score(place, "whole").finish()[0] == 0
    return time.monotonic() - began


def score(place: Path, night: str, prepare: Callable[[], None] | None = None) -> Forked:
    """Start a run with tables of its own."""
    output = place / f"out-{night}"
    output.mkdir(exist_ok=True)
    flags = {"chips": place / "chips", "artifact": place / "model", "output": output}
    log = place / f"{night}-{time.time_ns()}.log"
    return start({**flags, "run_id": night}, log, prepare=prepare)


def seen(place: Path, night: str) -> tuple[int, int, int]:
    """Rows that readers see: scores, quarantine, runs."""
    (row,) = ask(str(place / f"out-{night}"), _SEEN).to_pylist()
    scores, quarantine, runs = row.values()
    return scores, quarantine, runs


@contextmanager
def watching(place: Path, night: str) -> Iterator[set[tuple[int, int, int]]]:
    """Reads again and again meanwhile; returns everything that was ever seen."""
    found: set[tuple[int, int, int]] = set()
    ended = threading.Event()
    (place / f"out-{night}").mkdir(exist_ok=True)  # the reader may be faster than the run

    def watch() -> None:
        while not ended.is_set():
            found.add(seen(place, night))

    with ThreadPoolExecutor(1) as pool:
        watcher = pool.submit(watch)
        try:
            yield found
        finally:
            ended.set()
    watcher.result()  # a reader's error is a failure, too


@pytest.mark.parametrize("kill", range(_KILLS))
def test_a_run_that_is_killed_and_restarted_loses_and_doubles_no_chip(place, seconds, kill):
    moment = random.Random(_SEED * 1000 + kill).uniform(0, 1.1 * seconds)
    print(f"SEED={_SEED}, kill {kill}: after {moment:.3f} of {seconds:.3f} s")
    night = f"night-{kill}"
    with watching(place, night) as found:
        command = score(place, night)
        time.sleep(moment)
        command.process.kill()
        command.process.join()
        after_the_kill = seen(place, night)
        code, said = score(place, night).finish()
    assert code == 0, said
    assert found | {after_the_kill} <= {_NOTHING, _RECORD_MISSING, _PUBLISHED}
    check_whole(place, night)


def check_whole(place: Path, night: str) -> None:
    """All chips are published, each once, and nothing is left behind."""
    assert seen(place, night) == _PUBLISHED
    chips = ask(str(place / f"out-{night}"), _CHIPS_SEEN)["chip_id"].to_pylist()
    assert sorted(chips) == [f"chip_{number:05d}" for number in range(_CHIPS)]
    labels = ask(str(place / f"out-{night}"), "FROM models")["label"].to_pylist()
    assert sorted(labels) == sorted(PLANET_LABELS.names)
    assert not list((place / f"out-{night}" / "_staging").iterdir())


@pytest.mark.parametrize(
    ("table", "moment", "left"),
    [
        ("quarantine", "after", {_NOTHING}),
        ("models", "in", {_NOTHING}),
        ("models", "after", {_NOTHING}),
        ("chip_scores", "before", {_NOTHING}),
        ("chip_scores", "in", {_NOTHING, _RECORD_MISSING}),
        ("chip_scores", "after", {_RECORD_MISSING}),
        ("runs", "in", {_RECORD_MISSING, _PUBLISHED}),
    ],
)
def test_a_publisher_killed_around_a_commit_leaves_a_whole_run_or_none(place, table, moment, left):
    night = f"commit-{table}-{moment}"
    with watching(place, night) as found:
        code, _said = score(place, night, partial(die_at_commit, table, moment)).finish()
        after_the_kill = seen(place, night)
        again, said = score(place, night).finish()
    assert code == -signal.SIGKILL
    assert after_the_kill in left
    assert again == 0, said
    assert found <= {_NOTHING, _RECORD_MISSING, _PUBLISHED}
    check_whole(place, night)


@pytest.mark.parametrize("kill", range(max(2, _KILLS // 3)))
def test_a_replacement_that_is_killed_shows_the_old_run_or_the_new_one(tmp_path, place, kill):
    """Three more chips have broken since. A third of the moments are around the publication."""
    write_chips(tmp_path / "chips", _CHIPS)[3].write_bytes(b"")
    flags = {"chips": tmp_path / "chips", "artifact": place / "model", "run_id": "night"}
    (tmp_path / "out-night").mkdir()
    flags["output"] = tmp_path / "out-night"
    assert start(flags, tmp_path / "first").finish()[0] == 0
    for broken in sorted((tmp_path / "chips").iterdir())[6:9]:
        broken.write_bytes(b"")
    again = {**flags, "max_quarantine_ratio": 0.9}
    draw = random.Random(_SEED * 1000 + kill)
    with watching(tmp_path, "night") as found:
        if kill % 3:
            command = start({**again}, tmp_path / "killed", switches=("--rescore",))
            time.sleep(draw.uniform(0, 1))
            command.process.kill()
            command.process.join()
        else:
            die = partial(die_at_commit, draw.choice(["quarantine", "chip_scores"]), "in")
            start(again, tmp_path / "killed", prepare=die, switches=("--rescore",)).finish()
        time.sleep(0.2)
        code, said = start(again, tmp_path / "last", switches=("--rescore",)).finish()
    assert code == 0, said
    assert found <= {_OLD, _NEW}, f"SEED={_SEED}, kill {kill}"
    assert seen(tmp_path, "night") == _NEW
