"""Tables that a later release has written: its columns are unknown here, and keep their values."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, Field

from beam_jobs import bigquery, maintain, query, relabel_chips, report, score_chips, withdraw
from pipelines.commands import exit_code
from pipelines.runs import run_plan
from pipelines.storage import store
from pipelines.tables.commits import DataFile, commit_files, next_transactions
from schemas.render import file_schema
from schemas.tables import QUARANTINE, RUNS
from tests.support.nights import planned
from tests.support.published_runs import SCORES, at, publish, quarantined_row, run_row, scored
from tests.support.relabelling import LOW
from tests.support.samples import write_chips

NIGHT = "2026-07-01"
MORE = pa.schema(
    [
        ("tilt", pa.float64()),
        ("shape", pa.struct([("x", pa.float64()), ("y", pa.float64())])),
        ("outline", pa.binary()),
        ("hints", pa.list_(pa.field("element", pa.string()))),
    ]
)
"""What a later release has in every table."""


def values(n: int) -> dict[str, Any]:
    """Row n's values of these columns."""
    return {"tilt": n / 2, "shape": {"x": n, "y": -n}, "outline": bytes([n]), "hints": [str(n)]}


@pytest.fixture
def output(tmp_path: Path) -> str:
    """Two runs, of two files each, with rows of a later release in three tables."""
    place = str(tmp_path / "out")
    publish(place, "r0", [scored("old")], [quarantined_row("bad", "empty")], published_at=at(1))
    for table in ("chip_scores", "quarantine", "runs"):
        grow(place, table)
    for n, run_id in enumerate(("r1", "r2")):
        late = [quarantined_row(f"{run_id}-bad", "truncated")]
        commit(place, QUARANTINE.name, run_id, [late], first=10 * n)
        parts = [[scored(f"{run_id}-{k}"), scored(f"{run_id}-{k + 1}")] for k in (0, 2)]
        commit(place, SCORES.name, run_id, parts, first=10 * n)
        commit(place, RUNS.name, run_id, [[run_row(at(2 + n), scored=4)]], first=10 * n)
    return place


def grow(output: str, name: str) -> None:
    table = DeltaTable(f"{output}/{name}")
    table.alter.add_columns([Field.from_arrow(field) for field in MORE])


def commit(
    output: str, name: str, run_id: str, parts: Sequence[Sequence[dict]], first: int
) -> None:
    """Commit the rows of a run, a file for each part."""
    table = DeltaTable(f"{output}/{name}")
    ours = {t.name: t for t in (SCORES, QUARANTINE, RUNS)}[name]
    schema = pa.schema([*file_schema(ours), *MORE])
    files, n = [], first
    for k, part in enumerate(parts):
        rows = [{**row, **values(n + i)} for i, row in enumerate(part)]
        n += len(part)
        path = f"run_date={NIGHT}/run_id={run_id}/late-{k}.parquet"
        uri = Path(output, name, path)
        uri.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows, schema), uri)
        files.append(DataFile(path, uri.stat().st_size, len(rows)))
    partition = {"run_date": NIGHT, "run_id": run_id}
    commit_files(table, files, partition, next_transactions(table, run_id), False, partition)


def run(output: str, command: Callable[[Sequence[str]], int], *flags: str) -> int:
    return exit_code(command, ["--output", output, *flags])


def late(output: str, name: str, key: str, run_id: str) -> dict[str, dict[str, Any]]:
    """A run's values of the later columns, by another column."""
    columns = ", ".join([key, *MORE.names])
    found = query.ask(output, f"SELECT {columns} FROM {name} WHERE run_id = '{run_id}'")
    return {row.pop(key): row for row in found.to_pylist()}


R1 = {f"r1-{n}": values(n) for n in range(4)}


def test_a_query_sees_the_columns_of_a_later_release(output: str) -> None:
    assert late(output, "latest_chip_scores", "chip_uri", "r1") == R1
    assert late(output, "quarantine", "chip_uri", "r1") == {"r1-bad": values(0)}
    assert late(output, "runs", "status", "r2") == {"published": values(10)}
    for question in query.QUESTIONS:
        assert run(output, query.main, "--question", question) == 0


def test_a_relabelling_keeps_them(output: str, tmp_path: Path) -> None:
    file = tmp_path / "low.json"
    file.write_text(json.dumps(LOW))
    assert run(output, relabel_chips.main, "--thresholds", str(file), "--run_id", "new") == 0
    nothing = dict.fromkeys(MORE.names)
    r2 = {f"r2-{n}": values(10 + n) for n in range(4)}
    assert late(output, "chip_scores", "chip_uri", "new") == R1 | r2 | {"old": nothing}
    labels = query.ask(output, "SELECT DISTINCT labels FROM latest_chip_scores").to_pylist()
    assert labels == [{"labels": ["clear", "road"]}]


def test_compaction_keeps_them(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(output, maintain.main, "--vacuum_hours", "0") == 0
    assert "chip_scores: 4 small files of 2 runs were compacted to 2" in capsys.readouterr().out
    assert late(output, "chip_scores", "chip_uri", "r1") == R1


def test_a_withdrawal_and_retention_keep_them_in_the_rows_that_stay(output: str) -> None:
    assert run(output, withdraw.main, "--run_id", "r1", "--reason", "clouds") == 0
    assert late(output, "runs", "status", "r1") == {"withdrawn": values(0)}
    assert late(output, "runs", "status", "r2") == {"published": values(10)}
    assert run(output, maintain.main, "--keep_days", "1", "--vacuum_hours", "0") == 0
    assert late(output, "runs", "status", "r1") == {"withdrawn": values(0)}
    assert late(output, "chip_scores", "chip_uri", "r2") == {}


def test_a_night_is_scored_and_reported_next_to_them(
    output: str, artifact: Path, tmp_path: Path, quick_score: Callable[..., int]
) -> None:
    write_chips(tmp_path / "chips", 3)
    places = {"chips": tmp_path / "chips", "artifact": artifact, "output": output}
    for _ in range(2):  # it is replaced
        rescore = {"run_id": "new", "run_date": "2026-07-05"}
        assert quick_score(**places, **rescore) == 0
    new = late(output, "chip_scores", "chip_id", "new")
    assert list(new.values()) == [dict.fromkeys(MORE.names)] * 3
    assert late(output, "chip_scores", "chip_uri", "r1") == R1
    for run_id in ("r1", "new"):
        assert run(output, report.main, "--run_id", run_id) == 0


def test_columns_of_types_that_bigquery_is_not_told_are_left_out(output: str) -> None:
    table = bigquery.open_tables(output)["chip_scores"]
    (ddl,) = bigquery._listed(output, {"chip_scores": table}, "forest_chips")
    assert "tilt FLOAT64" in ddl
    assert "shape" not in ddl


def test_a_run_planned_by_a_later_release_is_refused_in_one_line(
    output: str, tmp_path: Path, artifact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = planned(output, "new")
    file = Path(run_plan.staging_of(output, "new", 1), "plan.json")
    file.write_text(json.dumps({**json.loads(plan.to_json()), "tide": 1}))
    write_chips(tmp_path / "chips", 1)
    places = ("--chips", str(tmp_path / "chips"), "--artifact", str(artifact))
    assert run(output, score_chips.main, *places, "--run_id", "new") == 2
    error = capsys.readouterr().err
    assert "the plan of run 'new' is of a later release (it has tide)" in error
    assert error.count("\n") == 1


def test_findings_of_a_later_release_are_read(output: str) -> None:
    finding = {"check": "psi", "label": "road", "value": 1.0, "limit": 0.5, "bad": True, "new": 1}
    record = run_row(at(6), verdict="bad", findings=json.dumps([finding]))
    commit(output, RUNS.name, "r3", [[record]], first=0)
    commit(output, SCORES.name, "r3", [[scored("a")]], first=0)
    assert run(output, report.main, "--run_id", "r3") == 0
    page = store.read_bytes(f"{output}/reports/r3.html").decode()
    assert "psi of road 1 (limit 0.5)" in page
