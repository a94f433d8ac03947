"""The Airflow DAG, parsed and executed by Airflow itself, with fakes for Google's services."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from google.cloud import dataflow_v1beta3
from google.protobuf import json_format

from beam_jobs.flex_template import metadata

_ROOT = Path(__file__).parents[2]
_PYTHON = _ROOT / "build" / "airflow" / "bin" / "python"

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(not _PYTHON.exists(), reason="no Airflow in build/airflow: make airflow"),
]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The results of the DAG's tasks on 22 November."""
    program, dag = (
        _ROOT / "tests/support/airflow_tasks.py",
        _ROOT / "deploy/airflow/forest_chips_dag.py",
    )
    home = tmp_path_factory.mktemp("airflow")
    done = subprocess.run(
        [str(_PYTHON), str(program), str(dag), "2026-11-22"],
        capture_output=True,
        text=True,
        cwd=home,
        env={"AIRFLOW_HOME": str(home), "PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (result,) = re.findall(r"^RESULT (.*)$", done.stdout, re.M)
    return dict(json.loads(result))


def test_one_launch_makes_up_for_missed_nights_and_nights_do_not_overlap(
    night: dict[str, Any],
) -> None:
    assert night["dag"]["catchup"] is False
    assert night["dag"]["max_active_runs"] == 1


def test_a_night_is_scored_then_found_then_checked_and_its_alerts_are_updated(
    night: dict[str, Any],
) -> None:
    assert night["dag"]["order"] == {
        "score": ["published"],
        "published": ["brief", "looks_right"],
        "brief": [],
        "looks_right": [],
    }
    assert night["brief"] == ["forest-project", "europe-west4", "forest-chips-brief"]


def test_a_failed_task_sends_a_mail(night: dict[str, Any]) -> None:
    assert all(night["dag"]["alerts"])
    assert night["failed"] == "job failed"


def test_dataflows_api_and_the_template_accept_the_request(night: dict[str, Any]) -> None:
    (launched,) = night["launched"]
    assert (launched["project_id"], launched["location"]) == ("forest-project", "europe-west4")
    message = dataflow_v1beta3.LaunchFlexTemplateRequest()._pb
    json_format.ParseDict(launched["body"], message)
    assert message.launch_parameter.environment.max_workers == 20
    sent = launched["body"]["launchParameter"]["parameters"]
    known = {parameter["name"]: parameter for parameter in metadata()["parameters"]}
    assert {name for name, p in known.items() if not p["isOptional"]} <= set(sent) <= set(known)
    for name, value in sent.items():
        assert all(re.fullmatch(pattern, value) for pattern in known[name]["regexes"]), name


def test_a_run_is_named_by_its_night_however_late_it_is_launched(night: dict[str, Any]) -> None:
    sent = night["launched"][0]["body"]["launchParameter"]
    assert sent["parameters"]["run_date"] == "2026-11-21"
    assert sent["parameters"]["run_id"] == "nightly-2026-11-21"
    assert sent["jobName"] == "forest-chips-2026-11-21"


def test_a_second_launch_of_a_night_has_the_same_job_name(night: dict[str, Any]) -> None:
    assert night["first"]["ends"]["currentState"] == "JOB_STATE_DONE"
    assert "active job forest-chips-2026-11-21" in night["second"]["refused"]


@pytest.mark.parametrize(
    ("task", "condition"), [("published", "status = 'published'"), ("looks_right", "= 'bad'")]
)
def test_a_check_queries_its_night_and_fails_if_the_answer_is_no(
    night: dict[str, Any], task: str, condition: str
) -> None:
    yes, no = night[task]
    assert (yes["passes"], no["passes"]) == (True, False)
    assert condition in yes["sql"]
    assert "`forest-project.forest_chips.runs` WHERE run_id = 'nightly-2026-11-21'" in yes["sql"]
