"""What is printed never decides how a command ends, unless it is the command's answer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.published_runs import at, publish, scored

WORK = """
import sys
from pipelines.commands import run_command
from pipelines.printing import write_answer
def main(arguments):
    for n in range(20):
        print("x" * 1000, flush=n % 2 == 0)
        print("warning \\udce9", file=sys.stderr)
    if "answer" in arguments:
        write_answer("y" * 100_000)
    with open(arguments[0], "w") as done:
        done.write("done")
    return 3
run_command(main)
"""
BROKEN = [">&-", "2>&-", ">&- 2>&-", ">/dev/full", "2>/dev/full", ">/dev/full 2>&1", "| true", ""]


def shell(command: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command line; the exit code of a pipe is that of its first command."""
    text = f"set -o pipefail; {command}"
    return subprocess.run(
        ["bash", "-c", text], capture_output=True, text=True, env={**os.environ, **more}
    )


@pytest.mark.parametrize("broken", BROKEN)
def test_the_exit_code_is_that_of_the_work_whatever_becomes_of_the_output(
    tmp_path: Path, broken: str
) -> None:
    script, done = tmp_path / "work.py", tmp_path / "done"
    script.write_text(WORK)
    run = shell(f"{sys.executable} {script} {done} {broken}", PYTHONIOENCODING="ascii")
    assert (run.returncode, done.read_text()) == (3, "done")
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("broken", "code"), [(">&-", 1), (">/dev/full", 1), ("2>&-", 3), ("| head -c 9", 3), ("", 3)]
)
def test_an_answer_that_cannot_be_written_is_a_failure_but_a_closed_pipe_is_not(
    tmp_path: Path, broken: str, code: int
) -> None:
    script, done = tmp_path / "work.py", tmp_path / "done"
    script.write_text(WORK.replace("range(20)", "[]"))
    run = shell(f"{sys.executable} {script} {done} answer {broken}")
    assert run.returncode == code
    assert done.exists() == (code == 3)
    if code == 1:
        assert run.stderr.startswith("error: cannot write the answer to standard output: ")
        assert run.stderr.count("\n") == 1
    else:
        assert run.stderr == ""


def test_no_file_gets_the_number_of_a_closed_output(tmp_path: Path) -> None:
    """Libraries print to descriptors 1 and 2, whatever they are."""
    script, done = tmp_path / "work.py", tmp_path / "done"
    lines = WORK.replace(
        'done.write("done")', 'import os; [os.write(fd, b"noise") for fd in (1, 2)]'
    )
    script.write_text(lines)
    run = shell(f"{sys.executable} {script} {done} >&- 2>&-")
    assert (run.returncode, done.read_text()) == (3, "")


def test_a_withdrawal_is_complete_without_an_output_and_a_query_without_one_fails(
    tmp_path: Path,
) -> None:
    output = str(tmp_path / "out")
    publish(output, "one", [scored("a")], published_at=at(1))
    python = f"{sys.executable} -m beam_jobs"
    command = f"withdraw --output {output} --run_id one >/dev/full 2>&1"
    assert shell(f"{python} {command}").returncode == 0
    query = f"query --output {output} 'SELECT status FROM runs' --format csv"
    assert shell(f"{python} {query}").stdout == "status\nwithdrawn\n"
    assert shell(f"{python} {query} >/dev/full").returncode == 1
