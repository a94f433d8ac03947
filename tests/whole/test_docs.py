"""The pages are right: their SQL runs, and their commands and files exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from beam_jobs import query
from beam_jobs.__main__ import COMMANDS
from tests.support.published_runs import at, publish, quarantined_row, scored

_ROOT = Path(__file__).parents[2]
PAGES = [
    *(_ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((_ROOT / "docs").rglob("*.md")),
    *sorted((_ROOT / "deploy").rglob("*.md")),
]
_ASKING = (_ROOT / "docs" / "asking.md").read_text("utf-8")
_ALERTS = (_ROOT / "docs" / "alerts.md").read_text("utf-8")


def anchors_of(page: Path) -> set[str]:
    """The names of a page's headings in links, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An OUTPUT with a night in it."""
    folder = str(tmp_path_factory.mktemp("output"))
    rows = [scored("a", "road", observed_at=at(1)), scored("b", sky="cloudy")]
    publish(folder, "run-1", rows, [quarantined_row("c", "empty")], published_at=at(2))
    return folder


@pytest.mark.parametrize("sql", re.findall(r"```sql\n(.*?)```", _ASKING + _ALERTS, re.DOTALL))
def test_every_question_for_analysts_has_an_answer(output: str, sql: str) -> None:
    assert query.ask(output, sql).column_names


@pytest.mark.parametrize("name", query.QUESTIONS)
def test_every_built_in_question_is_on_the_page_for_analysts(name: str) -> None:
    assert name in _ASKING


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(_ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", page.read_text("utf-8"))
    missing = []
    for name, anchor in links:
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            missing.append(f"{name}#{anchor}")
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(_ROOT)))
def test_every_short_command_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    named = re.findall(r"^ *(?:\$ )?(?:\.venv/bin/)?forest-chips ([a-z]+)", text, re.MULTILINE)
    assert set(named) <= set(COMMANDS)


@pytest.mark.parametrize(
    "name", re.findall(r"`(tests/\S+::\w+)`", (_ROOT / "docs" / "trust.md").read_text("utf-8"))
)
def test_every_promise_is_checked_by_a_test_that_exists(name: str) -> None:
    module, _, function = name.partition("::")
    assert f"def {function}(" in (_ROOT / module).read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(_ROOT)))
def test_every_named_source_file_exists(page: Path) -> None:
    folders = "schemas|pipelines|train|beam_jobs|tests|benchmarks|deploy"
    named = re.findall(rf"`((?:{folders})/[\w./]+\.(?:py|sql|md|css))`", page.read_text("utf-8"))
    assert [name for name in named if "NAME" not in name and not (_ROOT / name).is_file()] == []


def test_every_decision_is_in_their_index() -> None:
    folder = _ROOT / "docs" / "decisions"
    listed = re.findall(r"\]\(([\w-]+\.md)\)", (folder / "README.md").read_text("utf-8"))
    assert sorted(listed) == sorted({path.name for path in folder.glob("*.md")} - {"README.md"})
