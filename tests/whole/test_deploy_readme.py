"""The way through a cloud in deploy/README.md: commands that parse, paths that exist."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest

from beam_jobs.dataflow import job_flags
from beam_jobs.engine import launch
from beam_jobs.flex_template import metadata
from beam_jobs.options.run_options import SCORE_LINE, parse_score_options

_ROOT = Path(__file__).parents[2]
_README = _ROOT / "deploy" / "README.md"
_SETTINGS = {
    "PROJECT": "forest-project",
    "REGION": "europe-west4",
    "BUCKET": "forest",
    "CHIPS": "gs://forest-archive/chips",
    "IMAGE": "europe-west4-docker.pkg.dev/forest-project/forest/chips:1",
}


def commands() -> list[str]:
    """The README's commands, one per line, with its variables filled in."""
    blocks = re.findall(r"```sh\n(.*?)```", _README.read_text(), re.DOTALL)
    text = "\n".join(blocks).replace("\\\n", " ")
    for name, value in _SETTINGS.items():
        text = re.sub(rf"\${name}\b", value, text)
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def starting(words: str) -> list[list[str]]:
    return [shlex.split(c, comments=True) for c in commands() if c.startswith(words)]


def test_every_scoring_command_is_one_that_the_job_takes() -> None:
    found = starting("python -m beam_jobs.score_chips")
    assert len(found) == 2
    for words in found:
        options = parse_score_options(words[3:], datetime.now(UTC))
        launch.check_beam_args(options.beam_args, SCORE_LINE.flag_names())


def test_the_launch_without_a_template_is_not_refused() -> None:
    (words,) = (c for c in starting("python -m beam_jobs.score_chips") if "--runner" in c)
    options = parse_score_options(words[3:], datetime.now(UTC))
    job_flags.check_job(options.beam_args, options.gpu, options.addresses())


def test_parameters_of_the_template_fit_its_patterns() -> None:
    (words,) = starting("gcloud dataflow flex-template run")
    lists = [words[i + 1] for i, word in enumerate(words) if word == "--parameters"]
    given = dict(pair.split("=", 1) for pairs in lists for pair in pairs.split(","))
    known = {parameter["name"]: parameter for parameter in metadata()["parameters"]}
    assert {name for name, p in known.items() if not p["isOptional"]} <= set(given) <= set(known)
    for name, value in given.items():
        assert all(re.fullmatch(pattern, value) for pattern in known[name]["regexes"]), name


def test_the_template_is_built_where_the_scheduler_looks_for_it() -> None:
    (words,) = starting("gcloud dataflow flex-template build")
    template = re.search(r"template += \"gs://\S+?\}(/\S+)\"", _terraform())
    assert template
    assert words[4] == f"gs://forest{template[1]}"
    assert (_ROOT / words[words.index("--metadata-file") + 1]).is_file()


def test_files_that_are_read_and_copied_exist() -> None:
    (build,) = starting("gcloud builds submit")
    assert (_ROOT / build[build.index("--config") + 1]).is_file()
    (example,) = starting("cp terraform.tfvars.example")
    assert (_ROOT / "deploy" / "terraform" / example[1]).is_file()


def test_links_lead_to_existing_files() -> None:
    for page in (_README, _ROOT / "deploy" / "flink" / "README.md"):
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), link


@pytest.mark.parametrize("job", ["nightly"])
def test_the_scheduler_that_is_paused_and_run_is_the_one_that_terraform_makes(job: str) -> None:
    names = {words[4] for words in starting("gcloud scheduler jobs")}
    assert names == {f"forest-chips-{job}"}
    assert f'"forest-chips-{job}"' in _terraform()


def test_the_accounts_are_those_that_terraform_makes() -> None:
    accounts = set(re.findall(r'default +=\s*"(forest-chips-(?:worker|scheduler))"', _terraform()))
    named = set(re.findall(r"`(forest-chips-(?:worker|scheduler))`", _README.read_text()))
    assert named == accounts


def test_every_role_that_terraform_grants_is_named() -> None:
    granted = set(re.findall(r"roles/([\w.]+)", _terraform()))
    text = _README.read_text()
    assert [role for role in granted if role not in text] == []


def _terraform() -> str:
    files = sorted((_ROOT / "deploy" / "terraform").glob("*.tf"))
    return "\n".join(path.read_text() for path in files)
