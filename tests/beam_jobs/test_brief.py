from pathlib import Path

import pytest

from beam_jobs.brief import main
from pipelines.commands import exit_code
from tests.support.alert_rows import alert, change, update, write_alerts
from tests.support.published_runs import at


@pytest.fixture
def output(tmp_path: Path) -> str:
    found = str(tmp_path / "out")
    rows = [alert(n) for n in range(3)]
    changes = [change(row, "low", at(9)) for row in rows]
    write_alerts(found, rows, changes, [update(1, at(9))])
    return found


def run(*arguments: str) -> int:
    return exit_code(main, list(arguments))


def test_the_page_is_written_and_its_address_printed(
    output: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "new" / "brief.html"
    assert run("--output", output, "--to", str(to), "--language", "es") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("3 sites changed since the beginning, 3 open; 0.")
    assert said[1] == "the pictures of 3 sites of 3 cannot be shown"
    assert said[-1] == str(to)
    assert "Informe forestal" in to.read_text("utf-8")


def test_a_brief_can_be_written_to_an_object_store(output: str, object_store_uri: str) -> None:
    from pipelines.storage import store

    to = f"{object_store_uri}/briefs/brief.html"
    assert run("--output", output, "--to", to) == 0
    assert store.read_bytes(to, 10**7).startswith(b"<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--area", "Nowhere"], "--area 'Nowhere': no areas are known"),
        (["--language", "fr"], "--language"),
        (["--since", "July"], "--since: must be a date or a time"),
        (["--to", "brief.pdf"], "must end in .html"),
        (
            ["--output", "/nowhere"],
            "has no alerts: if the address is right, run python -m beam_jobs.update_alerts",
        ),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    flags: list[str],
    words: str,
    output: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    to = tmp_path / "brief.html"
    assert run("--output", output, "--to", str(to), *flags) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert not to.exists()
