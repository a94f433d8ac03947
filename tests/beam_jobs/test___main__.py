"""`forest-chips` and `python -m beam_jobs`: every command by a short name."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from beam_jobs.__main__ import COMMANDS

_ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "beam_jobs", *arguments]
    return subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_names_a_module_that_can_be_started(name: str) -> None:
    module = COMMANDS[name].module.split()[0]
    names = (f"{module}.__main__", module) if (_ROOT / module).is_dir() else (module,)
    assert importlib.util.find_spec(names[0]) is not None


def test_every_operators_module_has_a_short_name() -> None:
    started = 'if __name__ == "__main__":'
    paths = [_ROOT / "train" / "sample_archive.py", *(_ROOT / "beam_jobs").glob("*.py")]
    commands = {
        f"{path.parent.name}.{path.stem}" for path in paths if started in path.read_text("utf-8")
    }
    for_contributors = {"beam_jobs.__main__", "beam_jobs.flex_template"}
    listed = {command.module for command in COMMANDS.values()}
    assert commands - for_contributors == {name for name in listed if "." in name}


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_without_a_command_each_one_is_listed_with_its_module(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    listed = [line.split() for line in done.stdout.splitlines() if "python -m" in line]
    for words, (name, command) in zip(listed, COMMANDS.items(), strict=True):
        start = [name, "python", "-m", *command.module.split()]
        assert words == [*start, *command.summary.split()]


def test_the_version_is_that_of_the_installed_package() -> None:
    assert run("--version").stdout == f"forest-chips {version('forest-chips')}\n"


@pytest.mark.parametrize(
    ("name", "nearest"), [("scroe", "score"), ("score_chips", "score"), ("--verison", "--version")]
)
def test_an_unknown_command_is_a_usage_error_that_names_the_nearest(
    name: str, nearest: str
) -> None:
    done = run(name)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert f"did you mean {nearest!r}?" in done.stderr


def test_a_command_gets_its_arguments_and_imports_only_what_it_needs() -> None:
    code = (
        "import sys; sys.argv = ['forest-chips', 'query', '--help']\n"
        "from beam_jobs.__main__ import main\n"
        "try: main()\n"
        "finally: print(sorted({'apache_beam', 'tensorflow', 'keras'} & {*sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=_ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert done.stdout.startswith("usage: forest-chips query")
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize("name", [*COMMANDS, "train evaluate"])
def test_help_and_errors_name_the_command_that_was_typed(name: str) -> None:
    typed = f"forest-chips {name.removeprefix('train ')}"
    help_text = run(*name.split(), "--help").stdout
    assert help_text.startswith(f"usage: {typed} ")
    assert "python -m" not in help_text.replace("python -m beam_jobs.publish", "")
    assert f"(see {typed} --help)\n" in run(*name.split(), "--format", "x" * 9, "--bogus").stderr


def test_the_exit_code_is_that_of_the_command() -> None:
    done = run("query", "--output", "no/such/folder", "SELECT 1")
    assert done.returncode == 2
    assert "no/such/folder" in done.stderr


def test_a_command_of_the_trainer_is_started_too() -> None:
    done = run("evaluate", "--help")
    assert done.returncode == 0
    assert "--artifact" in done.stdout


def test_a_name_that_is_near_no_command_gets_no_guess() -> None:
    assert (
        run("nonsense").stderr == "error: no command 'nonsense' (forest-chips lists all commands)\n"
    )
