"""The scoring job as a Flex Template of Dataflow: its parameters, described and checked by pattern.

`python -m beam_jobs.flex_template` writes `deploy/flex_template/metadata.json` anew from the flags
of the scoring job; a test fails until that is done.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from beam_jobs.options import flag_types
from beam_jobs.options.run_options import ADDRESS, RUN_DATE_IN_ID, score_parser
from pipelines.commands import run_command

METADATA = Path(__file__).parents[1] / "deploy" / "flex_template" / "metadata.json"
OMITTED = ("help", "plan_only", "estimate", "prices", "sample_chips", "format")
"""Flags with which no job starts, which is all that a template's launcher is for, and those that
belong to them."""

PATTERNS: dict[Any, str] = {
    ADDRESS["type"]: r"^(gs|s3)://[^/]+.*$",
    flag_types.at_least_0: r"^(0|[1-9][0-9]{0,14})$",
    flag_types.at_least_1: r"^[1-9][0-9]{0,14}$",
    flag_types.days: r"^[1-9][0-9]{0,3}$",
    flag_types.positive: r"^([1-9][0-9]{0,14}(\.[0-9]+)?|0\.[0-9]*[1-9][0-9]*)$",
    flag_types.ratio: r"^(0(\.[0-9]+)?|1(\.0+)?)$",
    flag_types.factor: r"^[1-9][0-9]{0,14}(\.[0-9]+)?$",
}
"""What turns a flag's text into a value to what such a text looks like."""

_PATTERNS_BY_NAME = {
    "run_date": r"^(today|yesterday|[0-9]{4}-[0-9]{2}-[0-9]{2})$",
    "s3_endpoint": r"^https?://[^/@?#\s]+(/[^@?#\s]*)?$",
    "run_id": r"^[A-Za-z0-9][A-Za-z0-9._-]{0,60}(\{run_date\}[A-Za-z0-9._-]{0,20})?$",
}
_NO_EFFECT = "has no effect any more; the next release refuses it"
_IMAGE = {
    "name": "sdk_container_image",
    "label": "Container image of the workers",
    "helpText": "The project's image, the same that this template was built from.",
    "isOptional": False,
    "regexes": [r"^[a-z0-9][a-z0-9.-]*(:[0-9]+)?(/[A-Za-z0-9._-]+)+([:@][A-Za-z0-9._:-]+)?$"],
    "paramType": "TEXT",
}


def metadata() -> dict[str, Any]:
    """The template's metadata, as `gcloud dataflow flex-template build` takes it."""
    flags = [_parameter(action) for action in _flags()]
    required = [flag for flag in flags if not flag["isOptional"]]
    optional = [flag for flag in flags if flag["isOptional"]]
    return {
        "name": "Score forest chips",
        "description": "Scores the chips of an archive that its model has not scored yet, and "
        "publishes the labelled tables.",
        "streaming": False,
        "parameters": [*required, _IMAGE, *optional],
    }


def as_flags(arguments: Sequence[str]) -> list[str]:
    """A launcher's arguments as the scoring job takes them: a template gives each parameter a
    value, and a switch has none.

    >>> as_flags(["--rescore=true", "--hold_on_drift=false", "--run_date=yesterday"])
    ['--rescore', '--run_date=yesterday']
    """
    values = {
        f"--{action.dest}=true": f"--{action.dest}" for action in _flags() if _is_switch(action)
    }
    off = {flag.replace("=true", "=false") for flag in values}
    return [values.get(given, given) for given in arguments if given not in off]


def _flags() -> Iterator[argparse.Action]:
    for action in score_parser()._actions:
        if action.dest not in OMITTED:
            yield action


def _parameter(action: argparse.Action) -> dict[str, Any]:
    """A flag as a parameter; its name is the flag's, without the dashes."""
    name = action.option_strings[0].removeprefix("--")
    hidden = action.help == argparse.SUPPRESS
    help_text = _NO_EFFECT if hidden else (action.help or "") % vars(action)
    return {
        "name": name,
        "label": name.replace("_", " ").capitalize(),
        "helpText": f"{help_text[:1].upper()}{help_text[1:]}{_more(name)}.",
        "isOptional": not action.required,
        "regexes": [_pattern(name, action)],
        "paramType": "BOOLEAN" if _is_switch(action) else "TEXT",
    }


def _more(name: str) -> str:
    return f"; {RUN_DATE_IN_ID} in it stands for the night" if name == "run_id" else ""


def _pattern(name: str, action: argparse.Action) -> str:
    """What a value of the parameter looks like; a test tells where it lets through what the job
    does not take."""
    if name in _PATTERNS_BY_NAME:
        return _PATTERNS_BY_NAME[name]
    if _is_switch(action):
        return "^(true|false)$"
    if action.choices:
        return f"^({'|'.join(re.escape(str(choice)) for choice in action.choices)})$"
    return PATTERNS.get(action.type, r"^\S.*$")


def _is_switch(action: argparse.Action) -> bool:
    return action.nargs == 0


def main(arguments: Sequence[str]) -> int:
    """Write the metadata file."""
    argparse.ArgumentParser(description=__doc__).parse_args(list(arguments))
    METADATA.parent.mkdir(parents=True, exist_ok=True)
    METADATA.write_text(json.dumps(metadata(), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    run_command(main)
