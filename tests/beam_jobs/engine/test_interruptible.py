"""An interrupted command stops at once, and records why."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from select import select

import pytest

from beam_jobs.engine.interruptible import run_interruptibly
from beam_jobs.engine.worker_processes import end_worker_processes
from beam_jobs.query import ask
from pipelines.runs import staging
from tests.support.engines import wait_until
from tests.support.quick_scoring import start
from tests.support.samples import make_artifact, write_chips


def stage_slowly() -> None:
    """Make this process pause after it has staged a unit."""
    stage_unit = staging.stage_unit

    def stage_and_pause(batches, folder, *started):
        unit = stage_unit(batches, folder, *started)
        print("staged", flush=True)
        time.sleep(20)
        return unit

    staging.stage_unit = stage_and_pause


def test_results_and_exceptions_of_the_work_are_passed_on() -> None:
    assert run_interruptibly(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        run_interruptibly(lambda: 1 / 0)


def test_an_exception_in_another_thread_ends_the_work_only_if_it_is_fatal(monkeypatch) -> None:
    others: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: others.append(args.exc_type))
    never = threading.Event()

    def work() -> None:
        for error in (KeyError("harmless"), OSError("fatal"), OSError("from the first thread")):
            thread = threading.Thread(target=_raise, args=(error,))
            thread.start()
            thread.join()
        never.wait(60)

    with pytest.raises(OSError, match="fatal"):
        run_interruptibly(work, lambda error: isinstance(error, OSError))
    assert others == [KeyError]


def _raise(error: Exception) -> None:
    raise error


def test_worker_processes_are_ended_and_no_others() -> None:
    starter = subprocess.Popen(
        ["sh", "-c", 'sh -c "sleep 60; : $WORKER" & echo started; wait $!; echo $?'],
        env={**os.environ, "WORKER": "apache_beam.runners.worker.sdk_worker_main"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert starter.stdout.readline() == "started\n"
    seen = ""
    while not seen:  # until the shell has become the worker
        end_worker_processes()
        seen = starter.stdout.readline() if select([starter.stdout], [], [], 0.1)[0] else ""
    assert int(seen) == 128 + signal.SIGKILL
    assert starter.wait(10) == 0


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_run_ends_at_once_and_records_the_reason(tmp_path, by) -> None:
    write_chips(tmp_path / "chips", 10)
    make_artifact(tmp_path / "model")
    places = {
        "chips": tmp_path / "chips",
        "artifact": tmp_path / "model",
        "output": tmp_path / "out",
    }
    command = start({**places, "run_id": "night"}, tmp_path / "log", prepare=stage_slowly)
    log = tmp_path / "log"
    wait_until(
        lambda: (log.exists() and "staged" in log.read_text()) or not command.process.is_alive()
    )
    assert command.process.is_alive()
    told_at = time.monotonic()
    os.kill(command.process.pid, by)
    code, said = command.finish(30)
    assert time.monotonic() - told_at < 10  # units still to come would take 40
    assert code == 130
    assert "Traceback" not in said
    query = "SELECT status, reason FROM runs"
    assert ask(str(tmp_path / "out"), query).to_pylist() == [
        {"status": "failed", "reason": "it was interrupted"}
    ]
