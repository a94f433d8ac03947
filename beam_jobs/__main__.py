"""`forest-chips COMMAND ...`, or `python -m beam_jobs COMMAND ...`: every command by a short name.

A command is a module that is started by its name, as `python -m` does, so only what that command
needs is imported.
"""

from __future__ import annotations

import gc
import runpy
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import NamedTuple

from pipelines.commands import use_short_names
from pipelines.wording import nearest


class Command(NamedTuple):
    """What a short name starts: a module, with its first argument if any, and a line about it."""

    module: str
    summary: str


COMMANDS = {
    "sample": Command("train.sample_archive", "draw a small archive of labelled chips for trials"),
    "train": Command("train", "train a network on labelled chips; write a model artifact"),
    "convert": Command("train convert", "add the networks for OpenVINO to a model artifact"),
    "adjust": Command("train set_thresholds", "copy an artifact, with thresholds set by hand"),
    "sign": Command("train sign", "sign a model artifact, for --trusted_key"),
    "evaluate": Command("train evaluate", "measure an artifact on labelled chips"),
    "compare": Command("train compare", "compare artifacts on the same labelled chips"),
    "explore": Command("train explore", "count labels and draw pictures of a labelled archive"),
    "forest": Command("train forest", "train a random forest on mean colours"),
    "filters": Command("train filters", "draw what the filters of a network look for"),
    "study": Command("train study", "train and compare all models; write a report and slides"),
    "score": Command("beam_jobs.score_chips", "score an archive and publish the result as tables"),
    "query": Command("beam_jobs.query", "ask the tables a question in SQL"),
    "report": Command("beam_jobs.report", "write the report of a run again"),
    "publish": Command("beam_jobs.publish", "publish a completely staged or a held run"),
    "withdraw": Command("beam_jobs.withdraw", "hide a published run"),
    "relabel": Command("beam_jobs.relabel_chips", "apply new thresholds to stored scores"),
    "replay": Command("beam_jobs.replay_quarantine", "try quarantined chips again"),
    "maintain": Command(
        "beam_jobs.maintain", "compact the tables, delete old files and old nights"
    ),
    "places": Command("beam_jobs.update_places", "find the places that the published chips show"),
    "alerts": Command("beam_jobs.update_alerts", "find what is new on the ground"),
    "brief": Command("beam_jobs.brief", "write a page about what has changed on the ground"),
    "export": Command(
        "beam_jobs.export_alerts", "export alerts to a file for maps and spreadsheets"
    ),
    "verdicts": Command(
        "beam_jobs.record_verdicts", "record what officers found when they checked alerts"
    ),
    "bigquery": Command("beam_jobs.bigquery", "print the SQL that shows the tables in BigQuery"),
}
"""Short name to command, in the order in which a newcomer needs them."""

_USAGE = "usage: forest-chips COMMAND ...    (forest-chips COMMAND --help: its flags)"


def main() -> int:
    """Start the command that the process's arguments name, and return the exit code."""
    name, arguments = (sys.argv[1], sys.argv[2:]) if sys.argv[1:] else ("--help", [])
    if name in ("--help", "-h"):
        print(_overview())
    elif name == "--version":
        print(f"forest-chips {version('forest-chips')}")
    elif name in COMMANDS:
        _start(COMMANDS[name], arguments)
    else:
        print(f"error: {_unknown(name)}", file=sys.stderr)
        return 2
    return 0


def _start(command: Command, arguments: Sequence[str]) -> None:
    module, *first = command.module.split()
    sys.argv[1:] = [*first, *arguments]
    use_short_names({each.module: f"forest-chips {name}" for name, each in COMMANDS.items()})
    gc.disable()  # importing leaves nothing to collect, and makes the collector look at everything
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        gc.enable()


def _overview() -> str:
    width = max(len(command.module) for command in COMMANDS.values())
    lines = [
        f"  {name:8}  python -m {command.module:{width}}  {command.summary}"
        for name, command in COMMANDS.items()
    ]
    return "\n".join([_USAGE, "", *lines])


def _unknown(name: str) -> str:
    names = [*COMMANDS, "--help", "--version"]
    meant = nearest(name, names)
    guess = f"; did you mean {meant!r}?" if meant else ""
    return f"no command {name!r}{guess} (forest-chips lists all commands)"


if __name__ == "__main__":
    sys.exit(main())
