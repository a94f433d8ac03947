"""Write the parameters of the scoring job's Flex Template: deploy/flex_template/metadata.json.

The parameters are made from the flags of the scoring job. A test fails until they are written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beam_jobs.options.run_options import SCORE_LINE, ScoreOptions, artifact_folder
from beam_jobs.options.store_options import address
from pipelines import flags
from pipelines.commands import CommandLine, run_command
from pipelines.flags import Flag, flags_of, removed_flags

METADATA = Path(__file__).parents[1] / "deploy" / "flex_template" / "metadata.json"
OMITTED = ("plan_only", "estimate", "prices", "sample_chips", "format")
"""Flags of a command that starts no job, and of --estimate."""

PATTERNS: dict[Callable[[str], Any] | None, str] = {
    address: r"^(gs|s3)://[^/]+.*$",
    artifact_folder: r"^(gs|s3)://[^/]+.*$",
    flags.at_least_0: r"^(0|[1-9][0-9]{0,14})$",
    flags.at_least_1: r"^[1-9][0-9]{0,14}$",
    flags.days: r"^[1-9][0-9]{0,3}$",
    flags.positive: r"^([1-9][0-9]{0,14}(\.[0-9]+)?|0\.[0-9]*[1-9][0-9]*)$",
    flags.ratio: r"^(0(\.[0-9]+)?|1(\.0+)?)$",
    flags.factor: r"^[1-9][0-9]{0,14}(\.[0-9]+)?$",
}
"""The function that parses a flag to the pattern of its text."""

_PATTERNS_BY_NAME = {
    "gcs_user_project": r"^[a-z0-9][A-Za-z0-9_.:-]{1,100}$",
    "run_date": r"^(today|yesterday|[0-9]{4}-[0-9]{2}-[0-9]{2})$",
    "s3_endpoint": r"^https?://[^/@?#\s]+(/[^@?#\s]*)?$",
    "run_id": r"^[A-Za-z0-9][A-Za-z0-9._-]{0,60}(\{run_date\}[A-Za-z0-9._-]{0,20})?$",
}
_IMAGE = {
    "name": "sdk_container_image",
    "label": "Container image of the workers",
    "helpText": "The project's image, the same that this template was built from.",
    "isOptional": False,
    "regexes": [r"^[a-z0-9][a-z0-9.-]*(:[0-9]+)?(/[A-Za-z0-9._-]+)+([:@][A-Za-z0-9._:-]+)?$"],
    "paramType": "TEXT",
}


@dataclass(frozen=True)
class TemplateOptions:
    """The command has no flags."""


LINE = CommandLine("beam_jobs.flex_template", TemplateOptions, __doc__ or "")


def metadata() -> dict[str, Any]:
    """The template's metadata, as `gcloud dataflow flex-template build` takes it."""
    parameters = [_parameter(flag) for flag in template_flags()]
    required = [parameter for parameter in parameters if not parameter["isOptional"]]
    optional = [parameter for parameter in parameters if parameter["isOptional"]]
    return {
        "name": "Score forest chips",
        "description": SCORE_LINE.description.splitlines()[0],
        "streaming": False,
        "parameters": [*required, _IMAGE, *optional],
    }


def template_flags() -> Iterator[Flag]:
    """The flags of the scoring job that are parameters of the template."""
    yield from (flag for flag in flags_of(ScoreOptions) if flag.name not in OMITTED)
    for name in removed_flags(ScoreOptions):
        yield Flag("Has no effect any more.", name=name.removeprefix("--"), kind=bool)


def as_flags(arguments: Sequence[str]) -> list[str]:
    """The arguments of a template's launcher as flags of the scoring job: every parameter has a
    value, and a switch has none.

    >>> as_flags(["--rescore=true", "--hold_on_drift=false", "--run_date=yesterday"])
    ['--rescore', '--run_date=yesterday']
    """
    switches = [f"--{flag.name}" for flag in template_flags() if flag.is_switch]
    on = {f"{switch}=true": switch for switch in switches}
    off = {f"{switch}=false" for switch in switches}
    return [on.get(argument, argument) for argument in arguments if argument not in off]


def _parameter(flag: Flag) -> dict[str, Any]:
    return {
        "name": flag.name,
        "label": flag.name.replace("_", " ").capitalize(),
        "helpText": flag.help_with_default,
        "isOptional": flag.group != "required",
        "regexes": [_pattern(flag)],
        "paramType": "BOOLEAN" if flag.is_switch else "TEXT",
    }


def _pattern(flag: Flag) -> str:
    """The pattern of the parameter's values; it accepts no value that the job refuses."""
    if flag.name in _PATTERNS_BY_NAME:
        return _PATTERNS_BY_NAME[flag.name]
    if flag.is_switch:
        return "^(true|false)$"
    if flag.choices:
        return f"^({'|'.join(re.escape(str(choice)) for choice in flag.choices)})$"
    return PATTERNS.get(flag.parse, r"^\S.*$")


def main(arguments: Sequence[str]) -> int:
    """Write the metadata file."""
    LINE.parse(arguments)
    METADATA.parent.mkdir(parents=True, exist_ok=True)
    METADATA.write_text(json.dumps(metadata(), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    run_command(main)
