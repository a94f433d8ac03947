"""The command line: `python -m train ...` trains, `python -m train COMMAND ...` does the rest.

Exit codes: 0 done, 1 failed, 2 usage error, with one line that says what to do.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pkgutil import resolve_name

from pipelines.commands import exit_code
from pipelines.quiet_tensorflow import quiet_tensorflow
from pipelines.storage.store import configure
from pipelines.storage.store_flags import StoreOptions

_TRAIN = ("train.options:parse_train_options", "train.training:train_model")

COMMANDS: Mapping[str, tuple[str, str]] = {
    "compare": ("train.compare.compare:LINE.parse", "train.compare.compare:compare_artifacts"),
    "convert": ("train.conversion:LINE.parse", "train.conversion:convert_artifact"),
    "evaluate": ("train.evaluation:LINE.parse", "train.evaluation:evaluate_artifact"),
    "explore": ("train.explore.explore:LINE.parse", "train.explore.explore:explore"),
    "filters": ("train.filters.filters:LINE.parse", "train.filters.filters:draw_filters"),
    "forest": (
        "train.forest.forest_training:LINE.parse",
        "train.forest.forest_training:train_forest",
    ),
    "set_thresholds": ("train.set_thresholds:LINE.parse", "train.set_thresholds:set_thresholds"),
    "sign": ("train.signing:LINE.parse", "train.signing:sign_artifact"),
    "study": ("train.study.options:LINE.parse", "train.study.run:run_study"),
}
"""The other commands by their first word: what reads the options, and what does the work. Each is
imported when it is needed, so that --help is quick."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    quiet_tensorflow()
    return exit_code(_run, sys.argv[1:] if arguments is None else arguments)


def _run(arguments: Sequence[str]) -> int:
    command = COMMANDS.get(arguments[0]) if arguments else None
    read_options, work = command or _TRAIN
    options = resolve_name(read_options)(arguments[1:] if command else arguments)
    if isinstance(options, StoreOptions):
        configure(options.stores)
    resolve_name(work)(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
