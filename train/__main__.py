"""The command line: `python -m train ...` trains, `python -m train COMMAND ...` does the rest.

Exit codes: 0 done, 1 failed, 2 usage error, with one line that says what to do.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence

os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever ~/.keras says: the trainer relies on it

from pipelines.commands import exit_code
from pipelines.quiet_tensorflow import quiet_tensorflow

# Each command imports its own modules, so that --help is quick.


def _train(arguments: Sequence[str]) -> None:
    from train.options import parse_train_options

    options = parse_train_options(arguments)
    from train.training import train_model

    train_model(options)


def _evaluate(arguments: Sequence[str]) -> None:
    from train.evaluation import LINE, evaluate_artifact

    evaluate_artifact(LINE.parse(arguments))


def _explore(arguments: Sequence[str]) -> None:
    from train.explore.explore import LINE, explore

    explore(LINE.parse(arguments))


def _filters(arguments: Sequence[str]) -> None:
    from train.filters.filters import LINE, draw_filters

    draw_filters(LINE.parse(arguments))


def _forest(arguments: Sequence[str]) -> None:
    from train.forest.forest_training import LINE, train_forest

    train_forest(LINE.parse(arguments))


def _study(arguments: Sequence[str]) -> None:
    from train.study.options import LINE

    options = LINE.parse(arguments)
    from train.study.run import run_study

    run_study(options)


COMMANDS: Mapping[str, Callable[[Sequence[str]], None]] = {
    "evaluate": _evaluate,
    "explore": _explore,
    "filters": _filters,
    "forest": _forest,
    "study": _study,
}
"""The other commands, by their first word."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    quiet_tensorflow()
    return exit_code(_run, sys.argv[1:] if arguments is None else arguments)


def _run(arguments: Sequence[str]) -> int:
    name, *rest = [*arguments] or [""]
    if name in COMMANDS:
        COMMANDS[name](rest)
    else:
        _train(arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
