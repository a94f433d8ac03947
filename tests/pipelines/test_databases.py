"""A connection to DuckDB has the settings that were given, and prints nothing of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pipelines import databases

ROOT = Path(__file__).parents[2]


def test_no_query_shows_a_progress_bar_in_a_process_without_a_main_file() -> None:
    code = """
import duckdb
from pipelines import databases
opened = databases.connect()
for each in (duckdb.connect(), opened, opened.cursor()):
    print(each.sql("SELECT current_setting('enable_progress_bar')").fetchall()[0][0])
"""
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ran.stdout.split() == ["True", "False", "False"], ran.stderr


def test_settings_are_passed_on(tmp_path) -> None:
    connection = databases.connect(temp_directory=str(tmp_path), memory_limit="100MB")
    asked = "SELECT current_setting('temp_directory'), current_setting('memory_limit')"
    assert connection.sql(asked).fetchall() == [(str(tmp_path), "95.3 MiB")]


def test_no_other_module_opens_a_database() -> None:
    folders = ("schemas", "pipelines", "train", "beam_jobs", "benchmarks")
    modules = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    opening = [path.name for path in modules if "duckdb.connect(" in path.read_text("utf-8")]
    assert opening == ["databases.py"]
