"""Two runs at once over the same chips and model: one wins, and nothing is counted twice."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest

from pipelines.errors import RunFailed
from pipelines.planning.done import scores_version
from pipelines.publishing import publishing
from pipelines.publishing.publishing import publish_run
from pipelines.runs import attempts
from pipelines.runs.attempts import REFUSAL_FILE, read_reason
from pipelines.runs.run_plan import RunPlan, store_plan
from pipelines.tables import publications
from pipelines.tables.delta_tables import open_dataset, open_table
from schemas.labels import PLANET_LABELS
from schemas.render import file_schema
from schemas.tables import CHIP_MANIFEST, chip_scores
from tests.support.published_runs import commit_rows, publish, quarantined_row, scored
from tests.support.quick_scoring import start
from tests.support.samples import jpg_bytes, make_artifact, write_chips
from tests.support.staged_runs import empty_tables, labelled, make_plan

ADVICE = "another --run_id scores new chips, --rescore replaces this run"

NIGHT = "2026-11-22"


@pytest.fixture
def output(tmp_path) -> str:
    return empty_tables(tmp_path)


def planned(output: str, run_id: str, uris: str = "abc", **changes) -> RunPlan:
    """A run that is planned now, for some chips, all of which it has scored."""
    rows = [{"chip_uri": uri, "chip_id": uri, "etag": "1"} for uri in uris]
    manifest = pa.Table.from_pylist(rows, file_schema(CHIP_MANIFEST))
    plan = make_plan(
        output,
        run_id,
        model_digest="model-1",
        listed=len(uris),
        skipped=0,
        unit_rows=(len(uris),),
        scores_version=scores_version(output),
        **changes,
    )
    return store_plan(plan, manifest.to_reader())


def publish_planned(plan: RunPlan) -> None:
    """Stage as many chips as are planned, and publish them."""
    from pipelines.runs.staging import stage_unit

    publish_run(plan, [stage_unit([labelled(0, 0, plan.to_score, 0, True)], plan.staging)])


def run_ids(output: str, name: str = "chip_scores") -> set[str]:
    table = open_table(output, name)
    assert table is not None
    return set(open_dataset(table).to_table(["run_id"])["run_id"].to_pylist())


def test_a_run_whose_chips_another_has_published_meanwhile_is_not_published(output):
    plan = planned(output, "slow")
    publish(output, "fast", [scored("b"), scored("c"), scored("x")], night=NIGHT)
    with pytest.raises(RunFailed) as lost:
        publish_planned(plan)
    assert str(lost.value) == (
        "run slow: run fast was faster and has published 2 of its 3 chips; nothing was published; "
        "run again to score what is left"
    )
    assert read_reason(plan, REFUSAL_FILE) == str(lost.value)
    assert run_ids(output) == {"fast"}
    assert attempts.find_attempt(output, "slow")[1] is None


def test_a_rival_is_noticed_even_right_before_the_commit(output, monkeypatch):
    """The other run commits after this run's first check and before its commit."""
    plan = planned(output, "slow")
    copy = publishing._copy

    def copy_meanwhile(*args):
        publish(output, "fast", [scored("b")], night=NIGHT)
        return copy(*args)

    monkeypatch.setattr(publishing, "_copy", copy_meanwhile)
    with pytest.raises(RunFailed, match="run fast was faster and has published 1 of its 3 chips"):
        publish_planned(plan)
    assert run_ids(output) == {"fast"}
    assert "fast was faster" in read_reason(plan, REFUSAL_FILE)


def test_permanently_quarantined_chips_count_as_published_too(output):
    plan = planned(output, "slow")
    bad = [quarantined_row("a", "empty", etag="1"), quarantined_row("b", "unreadable", etag="1")]
    publish(output, "fast", [], bad, night=NIGHT)
    with pytest.raises(RunFailed, match="has published 1 of its 3 chips"):
        publish_planned(plan)


@pytest.mark.parametrize(
    "other",
    [
        scored("z"),
        scored("a", etag="2"),
        scored("a", model_digest="model-2"),
    ],
)
def test_runs_with_other_chips_versions_or_models_are_not_rivals(output, other):
    plan = planned(output, "slow")
    publish(output, "fast", [other], night=NIGHT)
    publish_planned(plan)
    assert run_ids(output) == {"fast", "slow"}


def test_a_run_published_before_the_plan_is_not_a_rival(output):
    """Its chips are not in the manifest, unless the run is to score them again."""
    publish(output, "early", [scored("a")], night=NIGHT)
    plan = planned(output, "late")
    publish_planned(plan)
    assert run_ids(output) == {"early", "late"}


def test_a_run_that_scores_again_on_purpose_has_no_rivals(output):
    plan = planned(output, "slow", options={"rescore": True})
    publish(output, "fast", [scored("a")], night=NIGHT)
    publish_planned(plan)
    assert run_ids(output) == {"fast", "slow"}


def test_runs_since_a_version_are_those_committed_after_it(output):
    version = scores_version(output)
    commit_rows(output, chip_scores(PLANET_LABELS), "one", [scored("a")])
    middle = scores_version(output)
    commit_rows(output, chip_scores(PLANET_LABELS), "two", [])
    table = open_table(output, "chip_scores")
    assert publications.runs_since(table, version) == {"one", "two"}
    assert publications.runs_since(table, middle) == {"two"}
    assert publications.runs_since(table, middle + 1) == set()
    assert publications.runs_since(table, -1) == {"one", "two"}
    assert scores_version(f"{output}/nowhere") == -1


# --------------------------------------------------------------------------- whole commands at once


@pytest.fixture(params=["local", "gs", "s3"])
def place(request, tmp_path) -> str:
    """Where the tables are: on a disk and on both object stores."""
    if request.param == "local":
        return str(tmp_path / "tables")
    return f"{request.getfixturevalue(f'{request.param}_uri')}/tables"


def chips_of(output: str) -> Counter[str]:
    """How often readers see each chip."""
    scores, quarantine = (open_table(output, name) for name in ("chip_scores", "quarantine"))
    published = publications.published_run_ids(scores, run_ids(output, "quarantine"))
    return Counter(
        open_dataset(scores).to_table(["chip_id"])["chip_id"].to_pylist()
        + open_dataset(quarantine, published).to_table(["chip_id"])["chip_id"].to_pylist()
    )


@pytest.fixture
def night(tmp_path, place) -> dict[str, object]:
    """The flags of a run over ten chips, one of them empty."""
    write_chips(tmp_path / "chips", 10)[3].write_bytes(b"")
    make_artifact(tmp_path / "model")
    return {"chips": tmp_path / "chips", "artifact": tmp_path / "model", "output": place}


def test_of_two_runs_at_once_one_publishes_and_the_other_says_who_won(night, tmp_path, place):
    commands = {
        run_id: start({**night, "run_id": run_id}, tmp_path / run_id, tmp_path / "meet", 2)
        for run_id in ("left", "right")
    }
    ended = {run_id: command.finish() for run_id, command in commands.items()}
    by_code = {code: run_id for run_id, (code, _) in ended.items()}
    assert set(by_code) == {0, 1}, ended
    winner, loser = by_code[0], by_code[1]
    message = f"error: run {loser}: run {winner} was faster and has published 10 of its 10 chips; "
    assert [line for line in ended[loser][1].splitlines() if line.startswith("error: ")] == [
        f"{message}nothing was published; run again to score what is left"
    ]
    assert run_ids(place) == {winner}
    assert run_ids(place, "runs") == {winner, loser}  # one published, one failed
    assert (len(chips_of(place)), set(chips_of(place).values())) == (10, {1})

    (tmp_path / "chips" / "new.jpg").write_bytes(jpg_bytes())
    code, said = start({**night, "run_id": loser}, tmp_path / "again").finish()
    assert code == 0, said
    assert "1 scored, 0 quarantined, 10 skipped" in said
    assert (len(chips_of(place)), set(chips_of(place).values())) == (11, {1})


def test_the_same_run_started_twice_at_once_is_published_once(night, tmp_path, place):
    flags = {**night, "run_id": "night"}
    commands = [start(flags, tmp_path / name, tmp_path / "meet", 2) for name in ("one", "two")]
    ended = [command.finish() for command in commands]
    assert [code for code, _ in ended] == [0, 0], ended
    assert run_ids(place, "runs") == {"night"}
    assert len(open_table(place, "chip_scores").history()) == 2  # its creation and one publication
    assert (len(chips_of(place)), set(chips_of(place).values())) == (10, {1})
    code, said = start(flags, tmp_path / "again").finish()
    assert (code, said) == (0, f"run night is published already; {ADVICE}\n")
