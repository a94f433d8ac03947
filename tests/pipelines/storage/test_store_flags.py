"""Every command that uses stores has the same flags for them, and uses them."""

from __future__ import annotations

import argparse
import os
from importlib import import_module
from pkgutil import resolve_name

import pytest

from beam_jobs.__main__ import COMMANDS
from pipelines.commands import CommandLine, exit_code
from pipelines.flags import flags_of
from pipelines.storage import _connections, store
from pipelines.storage.store import StoreSettings
from pipelines.storage.store_flags import StoreOptions, _endpoint, _project
from train.__main__ import _TRAIN
from train.__main__ import COMMANDS as TRAIN_COMMANDS

LOCAL_ONLY = ("sample", "filters")
REMOTE = [name for name in COMMANDS if name not in LOCAL_ONLY]
FLAGS = {flag.name for flag in flags_of(StoreOptions)}
NEEDED = {
    "score": ["--chips", "s3://b/c", "--artifact", "s3://b/m", "--output", "s3://b/o"],
    "replay": ["--artifact", "s3://b/m", "--output", "s3://b/o"],
    "relabel": ["--thresholds", "s3://b/t", "--output", "s3://b/o"],
    "query": ["--output", "s3://b/o", "SELECT * FROM runs"],
    "bigquery": ["--output", "gs://b/o", "--file_lists"],
    "maintain": ["--output", "s3://b/o"],
    **{
        name: ["--output", "s3://b/o", "--run_id", "r"]
        for name in ("report", "publish", "withdraw")
    },
}


def line_of(name: str) -> CommandLine:
    module, *words = COMMANDS[name].module.split()
    if module != "train":
        found = import_module(module)
        return getattr(found, "LINE", None) or found.SCORE_LINE
    parse = TRAIN_COMMANDS[words[0]][0] if words else "train.options:LINE.parse"
    assert _TRAIN[0].startswith("train.options:")
    return resolve_name(parse.removesuffix(".parse"))


@pytest.mark.parametrize("name", REMOTE)
def test_every_command_has_every_storage_flag(name: str) -> None:
    assert {flag.name for flag in flags_of(line_of(name).options)} >= FLAGS
    assert {
        *("storage_deadline", "s3_endpoint", "s3_region", "s3_requester_pays"),
        "gcs_user_project",
    } == FLAGS


@pytest.mark.parametrize("name", NEEDED)
def test_every_command_on_the_tables_reaches_stores_as_its_flags_say(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No store is there, and no key: each command ends at its first request."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    flags = ["--storage_deadline", "0.2", "--s3_endpoint", "http://127.0.0.1:1"]
    more = ["--s3_region", "mars", "--s3_requester_pays", "--gcs_user_project", "my-project"]
    main = import_module(COMMANDS[name].module).main
    try:
        code = exit_code(main, [*NEEDED[name], *flags, *more])
        expected = StoreSettings(0.2, 5000, "http://127.0.0.1:1", "mars", True, "my-project")
        assert _connections._settings == expected
    finally:
        store.configure(StoreSettings())
    assert code in (1, 2)
    error = capsys.readouterr().err
    assert ("127.0.0.1:1" if name == "bigquery" else "no AWS credentials") in error


@pytest.mark.parametrize("text", ["ftp://x", "http://user:secret@x", "x:9000", ""])
def test_an_endpoint_is_an_address_without_credentials(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        _endpoint(text)


@pytest.mark.parametrize("text", ["", "-x", "a b", "a\nb", "my-project\r\nx: y"])
def test_a_project_is_an_id(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        _project(text)
    assert _project("example.com:my-project-1") == "example.com:my-project-1"
