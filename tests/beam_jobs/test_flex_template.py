"""The template's metadata has the scoring job's flags; its patterns accept only valid values."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from beam_jobs import flex_template
from beam_jobs.flex_template import METADATA, as_flags, metadata, template_flags
from beam_jobs.options.run_options import parse_score_options
from pipelines.errors import UsageError

_ROOT = Path(__file__).parents[2]
PARAMETERS = {parameter["name"]: parameter for parameter in metadata()["parameters"]}
NEEDED = {"chips": "gs://b/chips", "artifact": "gs://b/model", "output": "gs://b/tables"}
WITH: dict[str, dict[str, str]] = {
    **{name: {"cut_px": "100000000"} for name in ("overlap_px", "edge", "max_no_data")},
    "asset": {"cut_px": "256", "chips": "gs://b/items.json"},
}
"""Parameters that belong to others."""
VALUES = (
    "gs://bucket/folder/*.jpg",
    "s3://bucket",
    "/local/folder",
    "gs://",
    "https://minio.example:9000",
    "http://user:password@host",
    "",
    "0",
    "1",
    "1.0",
    "0.25",
    "00.5",
    "0.0",
    "-1",
    "1.5",
    "7",
    "256",
    "1e3",
    "nan",
    "inf",
    "true",
    "false",
    "yesterday",
    "today",
    "tomorrow",
    "2026-11-20",
    "20261120",
    "night-1",
    "nightly-{run_date}",
    "{run_date}",
    "a b",
    "a/b",
)


def values_for(name: str) -> list[str]:
    """Values to try: of all kinds, and the flag's own choices."""
    (flag,) = (flag for flag in template_flags() if flag.name == name)
    return [*VALUES, *map(str, flag.choices)]


def fits(parameter: dict[str, Any], value: str) -> bool:
    return all(re.fullmatch(pattern, value) for pattern in parameter["regexes"])


def is_taken(name: str, value: str) -> bool:
    """Whether the scoring job accepts this value of a template's parameter."""
    given = {**NEEDED, **WITH.get(name, {}), name: value}
    flags = as_flags([f"--{flag}={text}" for flag, text in given.items()])
    try:
        options = parse_score_options(flags, datetime.now(UTC))
    except UsageError:
        return False
    return not options.beam_args


def test_the_stored_metadata_fits_the_flags() -> None:
    again = "write it again: python -m beam_jobs.flex_template"
    assert json.loads(METADATA.read_text()) == metadata(), again


def test_every_flag_is_a_parameter_with_a_description_and_a_pattern() -> None:
    flags = {flag.name for flag in template_flags()}
    assert set(PARAMETERS) == flags | {"sdk_container_image"}
    assert "share_model" in flags  # removed, and accepted for one release
    for parameter in PARAMETERS.values():
        assert len(parameter["helpText"]) > 10
        assert parameter["regexes"][0].startswith("^")
        assert parameter["regexes"][0].endswith("$")


def test_only_addresses_and_the_image_are_required() -> None:
    needed = [name for name, parameter in PARAMETERS.items() if not parameter["isOptional"]]
    assert needed == ["artifact", "output", "chips", "sdk_container_image"]


@pytest.mark.parametrize("name", [name for name in PARAMETERS if name != "sdk_container_image"])
def test_the_job_accepts_every_value_that_fits_a_pattern(name: str) -> None:
    fitting = [value for value in values_for(name) if fits(PARAMETERS[name], value)]
    assert fitting, f"no value of {VALUES} fits"
    assert len(fitting) < len(values_for(name))
    assert [value for value in fitting if not is_taken(name, value)] == []


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("chips", "gs://archive/2026/**/*.tif", "archive/2026"),
        ("output", "s3://bucket/tables", "gs:///tables"),
        ("run_date", "yesterday", "21.11.2026"),
        ("run_id", "nightly-{run_date}", "{run_date"),
        ("max_quarantine_ratio", "0.05", "5%"),
        ("drift_psi", "0.25", "0.0"),
        ("batch_size", "512", "0"),
        ("gpu", "nvidia-l4", "l4"),
        ("rescore", "true", "yes"),
        ("log_format", "json", "xml"),
        ("sdk_container_image", "europe-docker.pkg.dev/p/forest/chips:2026-11-22", "chips"),
        ("sdk_container_image", "gcr.io/p/chips@sha256:0123abcd", "gs://p/chips"),
    ],
)
def test_a_pattern_distinguishes_valid_and_invalid_values(name: str, good: str, bad: str) -> None:
    assert fits(PARAMETERS[name], good)
    assert not fits(PARAMETERS[name], bad)


def test_a_switch_of_the_template_becomes_a_flag_or_nothing() -> None:
    given = ["--chips=gs://b", "--rescore=true", "--hold_on_drift=false", "--experiments=x=true"]
    assert as_flags(given) == ["--chips=gs://b", "--rescore", "--experiments=x=true"]


def test_a_run_may_be_named_by_its_night() -> None:
    flags = [f"--{flag}={value}" for flag, value in NEEDED.items()]
    now = datetime(2026, 11, 22, 2, tzinfo=UTC)
    options = parse_score_options(
        [*flags, "--run_date=yesterday", "--run_id=nightly-{run_date}"], now
    )
    assert (options.run_id, options.run_date) == ("nightly-2026-11-21", "2026-11-21")


def test_the_launchers_program_runs_the_scoring_job(monkeypatch: pytest.MonkeyPatch) -> None:
    program = (_ROOT / "deploy" / "flex_template" / "main.py").read_text()
    received = []
    monkeypatch.setattr("sys.argv", ["main.py", "--rescore=true", "--chips=gs://b"])
    monkeypatch.setattr("pipelines.commands.run_command", received.append)
    exec(compile(program, "main.py", "exec"), {"__name__": "__main__"})
    import sys

    assert sys.argv[1:] == ["--rescore", "--chips=gs://b"]
    (command,) = received
    assert command.__module__ == "beam_jobs.score_chips"


def test_writing_the_metadata_again_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flex_template, "METADATA", tmp_path / "metadata.json")
    assert flex_template.main([]) == 0
    assert (tmp_path / "metadata.json").read_text() == METADATA.read_text()
