from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from beam_jobs.query import ask
from beam_jobs.record_verdicts import main
from pipelines.commands import exit_code
from pipelines.verdicts import record_verdicts
from tests.support.alert_rows import alert, change, write_alerts
from tests.support.published_runs import at

ALERTS = [
    alert(0, status="high"),
    alert(1, status="high") | {"site_id": alert(0)["alert_id"]},
    alert(2, "slash_burn"),
    alert(3, status="dropped"),
]
IDS = [row["alert_id"] for row in ALERTS]
GONE = alert(9)


@pytest.fixture
def output(tmp_path: Path) -> str:
    found = str(tmp_path / "out")
    changes = [change(GONE, "low", at(3)), change(GONE, "retracted", at(4), 2)]
    write_alerts(found, ALERTS, changes)
    return found


def record(output: str, text: str | bytes) -> int:
    file = Path(output).parent / "verdicts.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return exit_code(main, ["--output", output, "--file", str(file)])


def newest(output: str) -> dict[str, str]:
    rows = ask(output, "SELECT alert_id, verdict FROM newest_verdicts").to_pylist()
    return {row["alert_id"]: row["verdict"] for row in rows}


def test_verdicts_about_alerts_and_sites_are_recorded(
    output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        "site_id,alert_id,verdict,who,when,note\n"
        f"{IDS[0]},,true,Ana,2026-07-06,seen from the air\n"
        f",{IDS[2]},FALSE,,2026-07-07T12:00-03:00,\n"
        f",{IDS[3]},unclear,Rui,2026-07-07,\n"
    )
    assert record(output, text) == 0
    assert capsys.readouterr().out == "3 verdicts recorded, about 4 alerts\n"
    assert newest(output) == dict(zip(IDS, ("true", "true", "false", "unclear"), strict=True))
    found = ask(
        output, "SELECT who, note, judged_at, until FROM verdicts WHERE label = 'slash_burn'"
    )
    (row,) = found.to_pylist()
    assert (row["who"], row["note"], row["judged_at"]) == (None, None, at(7, 15))
    assert row["until"] == at(7, 15)  # it is open


def test_the_same_row_twice_is_one(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    row = f"{IDS[0]},true,Ana,2026-07-06\n"
    assert record(output, f"alert_id,verdict,who,when\n{row}{row}") == 0
    assert record(output, f"when,who,verdict,alert_id\n2026-07-06T00:00Z,Ana,true,{IDS[0]}\n") == 0
    assert "1 verdict skipped: recorded before" in capsys.readouterr().out
    assert ask(output, "SELECT count(*) AS n FROM verdicts")["n"].to_pylist() == [1]


def test_the_newest_verdict_counts_whenever_it_was_recorded(output: str) -> None:
    for verdict, when in (
        ("true", "2026-07-08"),
        ("false", "2026-07-07"),
        ("unclear", "2026-07-06"),
    ):
        assert record(output, f"alert_id,verdict,when\n{IDS[0]},{verdict},{when}\n") == 0
    assert newest(output) == {IDS[0]: "true"}


def test_a_verdict_may_be_about_an_alert_that_was_retracted(output: str) -> None:
    assert record(output, f"alert_id,verdict,when\n{GONE['alert_id']},false,2026-07-06\n") == 0
    found = ask(output, "SELECT place_id, label, first_detected FROM verdicts").to_pylist()
    assert found == [{name: GONE[name] for name in ("place_id", "label", "first_detected")}]


def test_a_site_that_became_part_of_another_one_is_its_first_alert(output: str) -> None:
    assert record(output, f"site_id,verdict,when\n{IDS[1]},false,2026-07-06\n") == 0
    assert newest(output) == {IDS[1]: "false"}


def test_rows_without_a_verdict_are_skipped_and_an_alert_comes_before_its_site(output: str) -> None:
    rows = f"{IDS[0]},{IDS[0]},,\n{IDS[1]},{IDS[0]},true,2026-07-06\n"
    assert record(output, f"alert_id,site_id,verdict,when\n{rows}") == 0
    assert newest(output) == {IDS[1]: "true"}


def test_a_csv_as_spreadsheets_write_it_is_read(output: str) -> None:
    text = f"\ufeffSite_ID;Verdict;When;Photo\r\n{IDS[2]};TRUE;2026-07-06;x.jpg\r\n"
    assert record(output, text) == 0
    assert newest(output) == {IDS[2]: "true"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("alert_id,verdict,when\nnone-such,true,2026-07-06\n", "line 2: unknown alert 'none-such'"),
        ("site_id,verdict,when\nnone-such,true,2026-07-06\n", "line 2: unknown site 'none-such'"),
        (f"alert_id,verdict,when\n{IDS[0]},yes,2026-07-06\n", "true, false, unclear, not 'yes'"),
        (f"alert_id,verdict,when\n{IDS[0]},true,6/7/26\n", "line 2: when must be a date"),
        (f"alert_id,verdict,when\n{IDS[0]},true,2999-01-01\n", "when is in the future"),
        (f"alert_id,verdict,when\n{IDS[0]},true\n", "line 2: when must be a date"),
        ("alert_id,verdict,when\n,true,2026-07-06\n", "give an alert_id or a site_id"),
        ("verdict,when\n", "lacks the columns alert_id or site_id"),
        ("alert_id,note\n", "lacks the columns verdict, when"),
        ("alert_id,verdict,verdict,when\n", "has columns twice: verdict"),
        ("", "lacks the columns"),
        (b"alert_id,verdict,when\n\xff\xfe", "is not a csv in UTF-8"),
        (b'alert_id,verdict,when\n"x', "is not a csv"),
        (
            f"alert_id,verdict,when,note\n{IDS[0]},true,2026-07-06,{'x' * 10_001}\n",
            "note has 10,001 letters, at most 10,000",
        ),
    ],
)
def test_a_wrong_file_is_one_line_and_nothing_is_recorded(
    text: str | bytes, words: str, output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert record(output, text) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert ask(output, "FROM verdicts").num_rows == 0


def test_of_several_rows_a_wrong_one_keeps_all_out(output: str) -> None:
    text = f"alert_id,verdict,when\n{IDS[0]},true,2026-07-06\nnone-such,true,2026-07-06\n"
    assert record(output, text) == 2
    assert ask(output, "FROM verdicts").num_rows == 0


def test_two_processes_record_the_same_file_once(output: str, tmp_path: Path) -> None:
    file = tmp_path / "verdicts.csv"
    file.write_text(f"alert_id,verdict,when\n{IDS[0]},true,2026-07-06\n")
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: record_verdicts(output, str(file)), range(4)))
    assert sum(each.verdicts for each in done) == 1
    assert ask(output, "FROM verdicts").num_rows == 1


def test_a_missing_file_and_an_output_without_alerts_are_usage_errors(
    output: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(main, ["--output", output, "--file", str(tmp_path / "no.csv")]) == 2
    assert (
        record(str(tmp_path / "empty"), f"alert_id,verdict,when\n{IDS[0]},true,2026-07-06\n") == 2
    )
    assert "run python -m beam_jobs.update_alerts first" in capsys.readouterr().err
