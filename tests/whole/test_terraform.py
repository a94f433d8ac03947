"""The Terraform files: well-formed, whole, and asking Dataflow for what the job and its API take.

No provider is fetched, so Google's side of each resource is not checked here.
"""

from __future__ import annotations

import json
import logging
import re
import shlex
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hcl2
import pytest
from google.cloud import dataflow_v1beta3
from google.protobuf import json_format

from beam_jobs import brief as brief_command
from beam_jobs import update_alerts
from beam_jobs.flex_template import metadata
from beam_jobs.options.run_options import parse_run_date
from pipelines.run_log import JsonFormatter
from schemas.external_tables import EXTERNAL_TABLES

_ROOT = Path(__file__).parents[2]
_FOLDER = _ROOT / "deploy" / "terraform"
_FILES = sorted(_FOLDER.glob("*.tf"))
_TEXT = "\n".join(path.read_text() for path in _FILES)
_CODE = "\n".join(line for line in _TEXT.splitlines() if not line.lstrip().startswith("#"))
_TERRAFORM = shutil.which("terraform")

terraform = pytest.mark.skipif(_TERRAFORM is None, reason="terraform is not on PATH")


def run(*arguments: str, folder: Path = _FOLDER, given: str = "") -> str:
    done = subprocess.run(
        [str(_TERRAFORM), *arguments], cwd=folder, input=given, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def unquoted(value: Any) -> Any:
    """The parser's tree with quotes removed from texts."""
    if isinstance(value, dict):
        return {unquoted(name): unquoted(item) for name, item in value.items()}
    if isinstance(value, list):
        return [unquoted(item) for item in value]
    if isinstance(value, str) and value.startswith('"'):
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value


def blocks(kind: str) -> list[dict[str, Any]]:
    """All blocks of a kind, in all files."""
    found = []
    for path in _FILES:
        with path.open() as file:
            found += unquoted(hcl2.load(file)).get(kind, [])
    return found


def resources(kind: str) -> dict[str, dict[str, Any]]:
    return {
        name: body
        for block in blocks("resource")
        for found, named in block.items()
        if found == kind
        for name, body in named.items()
    }


def variables() -> dict[str, dict[str, Any]]:
    return {name: body for block in blocks("variable") for name, body in block.items()}


@terraform
def test_the_files_are_formatted_as_terraform_does() -> None:
    run("fmt", "-check", "-diff")


def test_every_variable_is_declared_used_and_described() -> None:
    used = set(re.findall(r"\bvar\.(\w+)", _CODE))
    assert used == set(variables())
    assert all(len(body["description"]) > 10 for body in variables().values())


def test_every_reference_names_a_resource_or_a_local_value() -> None:
    made = {
        f"{kind}.{name}"
        for block in blocks("resource")
        for kind, named in block.items()
        for name in named
    }
    assert set(re.findall(r"\b(google_\w+\.\w+)\b", _CODE)) <= made
    local = {name for block in blocks("locals") for name in block}
    assert set(re.findall(r"\blocal\.(\w+)", _CODE)) <= local


_NAMES = {
    "job_name": "forest-chips-nightly",
    "brief_job": "forest-chips-brief",
    "dataset": "forest_chips",
    "connection": "forest",
    "worker_account": "forest-chips-worker",
    "scheduler_account": "forest-chips-scheduler",
    "image_repository": "forest",
    "published_metric": "forest_chips_runs_published",
    "alert_title": "Forest chips",
}


def test_every_name_in_the_project_is_a_variable_with_the_name_of_older_releases() -> None:
    assert {name: variables()[name].get("default") for name in _NAMES} == _NAMES
    ids = ("account_id", "name", "display_name", "repository_id", "dataset_id", "connection_id")
    for kind in {kind for block in blocks("resource") for kind in block}:
        for body in resources(kind).values():
            for key in ids if kind != "google_service_account" else ids[:2]:
                assert "${" in body.get(key, "${"), (kind, key, body[key])
    assert "${var.job_name}" in (_FOLDER / "alerts.tf").read_text()


def test_whether_the_schedule_is_paused_must_be_said() -> None:
    paused = variables()["paused"]
    assert "default" not in paused
    assert paused["type"] in ("bool", "${bool}")
    assert resources("google_cloud_scheduler_job")["nightly"]["paused"] == "${var.paused}"


def test_the_example_sets_exactly_the_required_variables() -> None:
    with (_FOLDER / "terraform.tfvars.example").open() as file:
        example = {name for name in hcl2.load(file) if not name.startswith("__")}
    needed = {name for name, body in variables().items() if "default" not in body}
    assert needed <= example <= set(variables())


@pytest.fixture
def request_of(tmp_path: Path) -> Any:
    """Returns the nightly request for some variables: what `terraform console` makes of the
    expressions, with a text for each thing that only Google knows."""
    locals_ = re.search(r"^locals \{.*?^\}", (_FOLDER / "schedule.tf").read_text(), re.S | re.M)
    body = re.search(r"base64encode\((jsonencode\(\{.*?\}\))\)\n", _TEXT, re.S)
    assert locals_
    assert body
    known = re.sub(r"google_\w+\.\w+\.name", "var.bucket", locals_[0])
    known = re.sub(r"google_\w+\.\w+\.email", '"worker@project.example"', known)
    places = re.findall(r"^  (artifact|output|template) +=(.*)$", _TEXT, re.M)
    lines = [f"{name} = {value}" for name, value in places if "google_storage_bucket" in value]
    more = re.sub(r"google_\w+\.\w+\.name", "var.bucket", "\n".join(lines))
    (tmp_path / "variables.tf").write_text((_FOLDER / "variables.tf").read_text())
    (tmp_path / "request.tf").write_text(f"{known}\nlocals {{\n{more}\nrequest = {body[1]}\n}}\n")

    def request(**given: object) -> dict[str, Any]:
        values = {**_EXAMPLE, **given}
        (tmp_path / "terraform.tfvars.json").write_text(json.dumps(values))
        answer = run("console", folder=tmp_path, given="local.request\n")
        return dict(json.loads(json.loads(answer)))

    return request


_EXAMPLE = {
    "project": "forest-project",
    "region": "europe-west4",
    "bucket": "forest",
    "chips": "gs://archive/chips",
    "image": "europe-west4-docker.pkg.dev/forest-project/forest/chips:1",
    "alert_emails": ["a@example.org"],
    "paused": True,
}
_ALL = {
    "gpu": "nvidia-l4",
    "drift_empty": True,
    "hold_on_drift": True,
    "worker_zone": "europe-west4-b",
    "subnetwork": "regions/europe-west4/subnetworks/private",
    "job_name": "team-b-nightly",
}


@terraform
@pytest.mark.parametrize("given", [{}, _ALL], ids=["least", "all"])
def test_dataflows_api_accepts_the_nightly_request(
    request_of: Any, given: dict[str, object]
) -> None:
    sent = request_of(**given)
    message = dataflow_v1beta3.LaunchFlexTemplateRequest()._pb
    json_format.ParseDict(sent, message)  # raises at a name or a value that the API does not know
    assert (
        message.launch_parameter.container_spec_gcs_path == "gs://forest/templates/score_chips.json"
    )
    assert message.launch_parameter.environment.service_account_email == "worker@project.example"
    assert message.launch_parameter.job_name == given.get("job_name", "forest-chips-nightly")
    assert message.launch_parameter.environment.worker_zone == given.get("worker_zone", "")


@terraform
@pytest.mark.parametrize("given", [{}, _ALL], ids=["least", "all"])
def test_the_nightly_parameters_are_the_templates_and_fit_its_patterns(
    request_of: Any, given: dict[str, object]
) -> None:
    sent = request_of(**given)["launchParameter"]["parameters"]
    known = {parameter["name"]: parameter for parameter in metadata()["parameters"]}
    assert {name for name, p in known.items() if not p["isOptional"]} <= set(sent) <= set(known)
    for name, value in sent.items():
        for pattern in known[name]["regexes"]:
            assert re.fullmatch(pattern, value), name
    assert sent["run_date"] == "yesterday"
    assert sent.get("gpu") == given.get("gpu")


def test_the_alerts_are_updated_and_the_brief_is_written_after_the_score() -> None:
    """Both commands are ones that this release takes, and the second waits for the first."""
    (update,) = (block["update"] for block in blocks("locals") if "update" in block)
    assert update.startswith("${join(")
    (inside,) = re.findall(r"update = join\((.*?)\n  \]\)", _CODE, re.S)
    between, *texts = re.findall(r'"((?:[^"\\]|\\.)*)"', inside)
    assert between == " && "
    filled = {
        "${local.output}": "gs://forest/tables",
        "${local.briefs}": "gs://forest/briefs",
        "${var.brief_language}": "pt",
        "$(date -u +%F)": "2026-11-22",
        '\\"': "",
    }
    for name, value in filled.items():
        texts = [text.replace(name, value) for text in texts]
    commands = [shlex.split(text) for text in texts]
    (alerts, brief) = commands
    assert alerts[:3] == ["python", "-m", "beam_jobs.update_alerts"]
    assert update_alerts.LINE.parse(alerts[3:]).output == "gs://forest/tables"
    assert brief[:3] == ["python", "-m", "beam_jobs.brief"]
    options = brief_command.LINE.parse(brief[3:])
    assert (options.language, options.to) == ("pt", "gs://forest/briefs/2026-11-22.html")
    job = resources("google_cloud_run_v2_job")["brief"]["template"][0]["template"][0]
    (container,) = job["containers"]
    assert container["image"] == "${var.image}"
    assert container["args"] == ["${local.update}"]
    scheduler = resources("google_cloud_scheduler_job")["brief"]
    assert scheduler["http_target"][0]["uri"].endswith(
        "jobs/${google_cloud_run_v2_job.brief.name}:run"
    )
    assert scheduler["paused"] == "${var.paused}"


def test_the_external_tables_are_those_of_the_bigquery_command() -> None:
    (tables,) = (b["external_tables"] for b in blocks("locals") if "external_tables" in b)
    assert {name: t for name, t in tables.items() if name[:2] != "__"} == EXTERNAL_TABLES


def test_nothing_of_a_table_is_deleted_by_its_age() -> None:
    bucket = resources("google_storage_bucket")["forest"]
    for rule in bucket["lifecycle_rule"]:
        if rule["action"][0]["type"] == "Delete":
            prefixes = rule["condition"][0]["matches_prefix"]
            assert prefixes
            assert set(prefixes) <= {"tmp/", "tables/_staging/", "tables/_tar_index/"}


def test_no_role_is_wider_than_a_job_needs() -> None:
    roles = set(re.findall(r"roles/[\w.]+", _CODE))
    assert roles == {
        "roles/artifactregistry.reader",
        "roles/dataflow.developer",
        "roles/dataflow.worker",
        "roles/iam.serviceAccountUser",
        "roles/run.invoker",
        "roles/storage.legacyBucketReader",
        "roles/storage.objectUser",
        "roles/storage.objectViewer",
    }


def log_line(event: str, **fields: object) -> str:
    """A line as a worker sends it with --log_format json."""
    pairs = " ".join(f'{name}="{value}"' for name, value in fields.items())
    record = logging.LogRecord("pipelines.events", 30, "", 0, f"{event} {pairs}", None, None)
    record.event, record.event_fields = event, fields
    return JsonFormatter("nightly-2026-11-21").format(record)


def matches(log_filter: str, line: str) -> bool:
    """Whether Cloud Logging's filter, as far as it looks into the message, finds a line."""
    patterns = re.findall(r'jsonPayload\.message=~"((?:[^"\\]|\\.)*)"', log_filter)
    assert patterns
    return all(re.search(pattern.replace('\\"', '"'), line) for pattern in patterns)


def test_the_alert_on_drift_finds_the_line_of_a_bad_night_and_no_other() -> None:
    event = filters_of("forest-chips-nightly")["event"]
    policy = resources("google_monitoring_alert_policy")["drift"]
    condition = policy["conditions"][0]["condition_matched_log"][0]["filter"]
    log_filter = condition.replace('${format(local.event, "run_judged")}', event % "run_judged")
    assert "${" not in log_filter
    assert matches(log_filter, log_line("run_judged", verdict="bad", run_id="r"))
    assert not matches(log_filter, log_line("run_judged", verdict="good", run_id="r"))
    assert not matches(log_filter, log_line("run_planned", verdict="bad"))
    assert matches(event % "run_published", log_line("run_published", scored=3))


def filters_of(job: str) -> dict[str, str]:
    """The texts that the alerts' filters are made of, for a name of the job."""
    (found,) = (block for block in blocks("locals") if "event" in block)
    jobs = found["jobs"].replace("${var.job_name}", job)
    return {"jobs": jobs, "event": found["event"].replace("${local.jobs}", jobs)}


def test_the_alerts_are_about_the_jobs_of_one_team() -> None:
    """The filters have the team's pattern, which finds runs of a night by hand, too."""
    failed = resources("google_monitoring_alert_policy")["failed"]["conditions"][0]
    condition = failed["condition_threshold"][0]["filter"]
    assert 'job_name=monitoring.regex.full_match("${local.jobs}")' in condition
    pattern = re.compile(filters_of("forest-chips-nightly")["jobs"])
    (in_event,) = re.findall(r'job_name=~"(.*?)"', filters_of("forest-chips-nightly")["event"])
    assert in_event == f"^{pattern.pattern}$"
    for job in ("forest-chips-nightly", "forest-chips-nightly-2026-11-22"):
        assert pattern.fullmatch(job)
    for job in ("forest-chips-nightly-b", "other-forest-chips-nightly", "forest-chips-first"):
        assert not pattern.fullmatch(job)


def test_every_alert_sends_a_mail() -> None:
    policies = resources("google_monitoring_alert_policy")
    assert set(policies) == {"failed", "not_started", "drift", "no_run", "brief"}
    for policy in policies.values():
        assert policy["notification_channels"] == "${local.channels}"
        assert len(policy["documentation"][0]["content"]) > 40


def test_the_jobs_date_is_a_word_that_the_job_understands() -> None:
    (word,) = set(re.findall(r'run_date +=\s*"(\w+)"', _CODE))
    assert parse_run_date(word, datetime(2026, 11, 22, tzinfo=UTC)) == "2026-11-21"
