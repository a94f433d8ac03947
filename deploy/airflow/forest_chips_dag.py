"""Score the new chips of the archive each night, with the Flex Template (deploy/README.md); then
update the alerts and write the brief, with the job that Terraform makes.

Copy this file into the dags folder and set the Variable `forest_chips` to JSON with `project`,
`region`, `template`, `image`, `worker`, `temp`, `chips`, `artifact`, `output`, `gpu`,
`max_workers`, `dataset`, `brief_job` and `alert_email`; without GPUs, delete the line `gpu` below.
The connection `google_cloud_default` needs the permissions of the scheduler's account in
deploy/terraform, and must be able to read the dataset.

Late and repeated launches are safe: a night's run is named by its date, so a second launch resumes
a run that died, and changes nothing about one that is published. One launch makes up for missed
nights, since every run scores all chips that are not scored yet.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.google.cloud.operators.bigquery import BigQueryCheckOperator
from airflow.providers.google.cloud.operators.cloud_run import CloudRunExecuteJobOperator
from airflow.providers.google.cloud.operators.dataflow import DataflowStartFlexTemplateOperator
from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow.sdk import DAG


def setting(name: str) -> str:
    """A template for a setting: it is read when a task runs, not each time this file is parsed."""
    return f"{{{{ var.json.forest_chips.{name} }}}}"


NIGHT = "{{ macros.ds_add(ds, -1) }}"
"""The day before the one on which the DAG is due."""

RUN_ID = f"nightly-{NIGHT}"

REQUEST = {
    "launchParameter": {
        # Dataflow refuses a second job of a name while the first is active.
        "jobName": f"forest-chips-{NIGHT}",
        "containerSpecGcsPath": setting("template"),
        "parameters": {
            "chips": setting("chips"),
            "artifact": setting("artifact"),
            "output": setting("output"),
            "run_date": NIGHT,
            "run_id": RUN_ID,
            "log_format": "json",
            "skip_damaged": "true",  # damage to one night's files must not stop the others
            "gpu": setting("gpu"),
            "sdk_container_image": setting("image"),
        },
        "environment": {
            "serviceAccountEmail": setting("worker"),
            "tempLocation": setting("temp"),
            "stagingLocation": setting("temp") + "/staging",
            "launcherMachineType": "e2-highmem-4",
            "maxWorkers": setting("max_workers"),
        },
    }
}

RUN = f"FROM `{setting('project')}.{setting('dataset')}.runs` WHERE run_id = '{RUN_ID}'"

with DAG(
    dag_id="forest_chips",
    description="Scores the new chips of the archive each night, and says what is new",
    schedule="15 2 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,  # one launch scores the backlog
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=12),
    default_args={
        "retries": 2,
        "retry_delay": timedelta(minutes=20),
        "on_failure_callback": SmtpNotifier(
            to=setting("alert_email"),
            from_email=setting("alert_email"),
            subject="forest_chips: {{ ti.task_id }} of {{ ds }} has failed",
            html_content="{{ exception }}",
        ),
    },
    tags=["forest"],
) as dag:
    score = DataflowStartFlexTemplateOperator(
        task_id="score",
        project_id=setting("project"),
        location=setting("region"),
        body=REQUEST,
        append_job_name=False,
        deferrable=True,  # waits for hours without using a worker slot
        cancel_on_kill=True,
    )
    published = BigQueryCheckOperator(
        task_id="published",
        sql=f"SELECT count(*) = 1 {RUN} AND status = 'published'",
        use_legacy_sql=False,
        location=setting("region"),
    )
    looks_right = BigQueryCheckOperator(
        task_id="looks_right",
        sql=f"SELECT count(*) = 0 {RUN} AND verdict = 'bad'",
        use_legacy_sql=False,
        location=setting("region"),
        retries=0,
    )
    brief = CloudRunExecuteJobOperator(  # deploy/terraform/briefs.tf; also if the night looks wrong
        task_id="brief",
        project_id=setting("project"),
        region=setting("region"),
        job_name=setting("brief_job"),
        deferrable=True,
    )
    score >> published >> [brief, looks_right]
