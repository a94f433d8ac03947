"""Parses the Airflow DAG and executes its tasks, with fakes for Dataflow and BigQuery; prints the
results as JSON. Runs in Airflow's environment (`make airflow`), without this project's packages.

    python tests/support/airflow_tasks.py DAG_FILE DAY
"""

from __future__ import annotations

import json
import os
import runpy
import sys
from typing import Any

SETTINGS = {
    "project": "forest-project",
    "region": "europe-west4",
    "template": "gs://forest/templates/score_chips.json",
    "image": "europe-west4-docker.pkg.dev/forest-project/forest/chips:1",
    "worker": "worker@forest-project.iam.gserviceaccount.com",
    "temp": "gs://forest/tmp",
    "chips": "gs://archive/chips",
    "artifact": "gs://forest/model",
    "output": "gs://forest/tables",
    "gpu": "nvidia-l4",
    "max_workers": 20,
    "dataset": "forest_chips",
    "brief_job": "forest-chips-brief",
    "alert_email": "night@example.org",
}
os.environ["AIRFLOW_VAR_FOREST_CHIPS"] = json.dumps(SETTINGS)
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "True"


class FakeDataflow:
    """Accepts launches as Dataflow does: only one active job per name."""

    def __init__(self) -> None:
        self.launched: list[dict[str, Any]] = []
        self.active: set[str] = set()

    def launch_job_with_flex_template(self, **request: Any) -> dict[str, str]:
        name = request["body"]["launchParameter"]["jobName"]
        if name in self.active:
            raise RuntimeError(f"409: there is an active job {name}")
        self.active.add(name)
        self.launched.append(request)
        return {"id": f"job-{len(self.launched)}", "name": name}

    @staticmethod
    def extract_job_id(job: dict[str, str]) -> str:
        return job["id"]

    def get_job(self, **job: str) -> dict[str, str]:
        return {"id": job["job_id"], "currentState": "JOB_STATE_DONE"}


class FakeBigQuery:
    """Answers each question with the next answer."""

    def __init__(self, *answers: bool) -> None:
        self.answers, self.asked = list(answers), []  # type: list[bool], list[str]

    def get_first(self, sql: str, *_: Any, **__: Any) -> list[bool]:
        self.asked.append(sql)
        return [self.answers.pop(0)]


class FakeTaskInstance:
    """Stores the values that a task passes to the next ones."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.values[key] = value


def context(day: str) -> dict[str, Any]:
    """What a task's templates see on a day."""
    from airflow.sdk.execution_time import macros
    from airflow.sdk.execution_time.context import VariableAccessor

    return {
        "ds": day,
        "macros": macros,
        "var": {"json": VariableAccessor(deserialize_json=True)},
        "ti": FakeTaskInstance(),
        "task_instance": FakeTaskInstance(),
    }


def started(task: Any, day: str, dataflow: FakeDataflow) -> dict[str, Any]:
    """Start the job of a day and end it; returns the refusal if there is one."""
    from airflow.exceptions import TaskDeferred
    from airflow.providers.google.cloud.links.dataflow import DataflowJobLink

    DataflowJobLink.persist = staticmethod(lambda **_: None)
    type(task).hook = dataflow
    found = context(day)
    try:
        task.execute(found)
    except TaskDeferred as deferred:
        event = {"status": "success", "job_id": deferred.trigger.job_id, "message": "done"}
        return {"waits_for": deferred.trigger.job_id, "ends": task.execute_complete(found, event)}
    except RuntimeError as error:
        return {"refused": str(error)}
    raise SystemExit("the task should wait in the triggerer")


def failure(task: Any, day: str) -> str:
    """What the task raises if Dataflow says that its job failed."""
    try:
        task.execute_complete(context(day), {"status": "error", "message": "job failed"})
    except Exception as error:
        return str(error)
    return ""


def checked(task: Any, day: str, answer: bool) -> dict[str, Any]:
    """Execute a check that gets an answer."""
    from airflow.exceptions import AirflowException

    bigquery = FakeBigQuery(answer)
    task.get_db_hook = lambda: bigquery
    try:
        task.execute(context(day))
        passes = True
    except AirflowException:
        passes = False
    return {"sql": bigquery.asked[0], "passes": passes}


def rendered(dag: Any, name: str, day: str) -> Any:
    """A task of its own, with its templates filled in for a day."""
    import copy

    task = copy.deepcopy(dag.get_task(name))
    task.render_template_fields(context(day))
    return task


_OF_BRIEF = ("project_id", "region", "job_name")


def main(dag_file: str, day: str) -> None:
    """Parse, execute, print."""
    dag = runpy.run_path(dag_file)["dag"]
    dag.validate()
    dataflow = FakeDataflow()
    first = started(rendered(dag, "score", day), day, dataflow)
    second = started(rendered(dag, "score", day), day, dataflow)
    found = {
        "dag": {
            "catchup": dag.catchup,
            "max_active_runs": dag.max_active_runs,
            "order": {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks},
            "alerts": [bool(task.on_failure_callback) for task in dag.tasks],
        },
        "launched": dataflow.launched,
        "first": first,
        "second": second,
        "failed": failure(rendered(dag, "score", day), day),
        "brief": [getattr(rendered(dag, "brief", day), name) for name in _OF_BRIEF],
        "published": [checked(rendered(dag, "published", day), day, a) for a in (True, False)],
        "looks_right": [checked(rendered(dag, "looks_right", day), day, a) for a in (True, False)],
    }
    print("RESULT " + json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
