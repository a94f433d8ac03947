"""Live a year from its seed: `python -m tests.support.season.live FOLDER SEED NIGHTS`.

FOLDER is an empty one, for a model and thresholds, or one that has them.
"""

import multiprocessing
import sys
import time
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from tests.support.season.actors import Actor
from tests.support.season.bottle import Bottle
from tests.support.season.commands import stand_ins, without_reports
from tests.support.season.orders import CLIENTS
from tests.support.season.scenarios import make_files
from tests.support.season.year import Year

_EVERY = 30


def main(folder: Path, seed: int, nights: int) -> None:
    """Print how fast the nights pass; raise at the first one that is wrong."""
    make_files(folder)
    began = time.monotonic()
    with ExitStack() as stack:
        bottle = stack.enter_context(Bottle())
        stack.enter_context(stand_ins(bottle.env()))
        stack.enter_context(without_reports())

        @cache
        def actors() -> dict[str, Actor]:
            return {name: stack.enter_context(Actor(bottle.env(name))) for name in CLIENTS}

        for night in Year(bottle, actors, folder, seed, nights).live():
            if night + 1 == nights or night % _EVERY == _EVERY - 1:
                minutes = (time.monotonic() - began) / 60
                rate = (night + 1) / minutes
                print(f"seed {seed}: {night + 1} nights, {rate:.0f} a minute", flush=True)


if __name__ == "__main__":
    # Actors need no TensorFlow.
    multiprocessing.set_forkserver_preload(["tests.support.season.actors"])
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
