"""Every flag of every command: a wrong value is one line in plain words that names the flag."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module

import pytest

import beam_jobs
import train
from beam_jobs.engine.launch import check_beam_args
from pipelines.commands import CommandLine
from pipelines.errors import UsageError
from pipelines.flags import Flag, flags_of

WRONG = ("", " ", "x", "-1", "0", "1.5", "nan", "1e999", "9" * 500, "\0", "a\nb", "{", "ftp://h/x")
"""Values that some flags accept; the others must refuse them well."""

LOCAL = {
    "train": ("artifact", "pixel_cache"),
    "train filters": ("output", "weights"),
    "train.sample_archive": ("output",),
    "train explore": ("output",),
    "train forest": ("output", "pixel_cache"),
    "train study": ("output", "pixel_cache", "weights"),
    "train evaluate": ("pixel_cache",),
    "train compare": ("output", "pixel_cache"),
}
"""Flags that name something on this machine."""


def command_lines() -> dict[str, CommandLine]:
    names = [
        module.name
        for package in (train, beam_jobs)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not module.name.endswith("__main__")
    ]
    values = [value for name in names for value in vars(import_module(name)).values()]
    return {value.module: value for value in values if isinstance(value, CommandLine)}


LINES = command_lines()


def with_value(flags: list[Flag], flag: Flag, value: str) -> list[str]:
    needed = [f"--{each.name}=1" for each in flags if each.group == "required" and each != flag]
    return [*needed, value if flag.positional else f"--{flag.name}={value}"]


def refusals(line: CommandLine) -> Iterator[tuple[Flag, str, str]]:
    """The flags, wrong values and messages of a command."""
    flags = list(flags_of(line.options))
    for flag in flags:
        for value in WRONG:
            try:
                line.parse(with_value(flags, flag, value))
            except UsageError as error:
                yield flag, value, str(error)


def test_all_commands_are_found():
    assert {"train", "train study", "beam_jobs.score_chips", "beam_jobs.query"} <= set(LINES)


@pytest.mark.parametrize("name", LINES)
def test_a_wrong_value_is_refused_in_plain_words_that_name_the_flag(name):
    for flag, value, message in refusals(LINES[name]):
        assert flag.name in message.lower(), (value, message)
        assert not re.search(r"invalid \S+ value|Error|object at|<|lambda", message), message
        assert len(message) < 1000


@pytest.mark.parametrize("name", LINES)
def test_no_text_may_be_empty(name):
    flags = list(flags_of(LINES[name].options))
    for flag in flags:
        if flag.kind is str and not flag.positional:
            with pytest.raises(UsageError, match=f"(?i){flag.name}"):
                LINES[name].parse(with_value(flags, flag, ""))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--num_workers", "x"], "argument --num_workers: must be a whole number, not 'x'"),
        (["--machine_type"], "it needs one value"),
        (["--save_main_session=x"], "it takes no value, so remove 'x'"),
    ],
)
def test_wrong_values_of_beams_flags_are_refused_in_plain_words(flags, said):
    with pytest.raises(UsageError) as refused:
        check_beam_args(flags, [])
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("name", "flag"), [(name, flag) for name, flags in LOCAL.items() for flag in flags]
)
@pytest.mark.parametrize("address", ["gs://bucket/x", "s3://bucket/x", "ftp://host/x"])
def test_an_address_that_must_be_local_is_refused_by_its_flag(
    tmp_path, monkeypatch, capsys, name, flag, address
):
    from train.__main__ import main
    from train.sample_archive import main as sample

    monkeypatch.chdir(tmp_path)
    given = {"chips": "chips", "artifact": "model", "artifacts": "model", "output": "out"}
    given[flag] = address
    given |= {"network": "vgg16"} if flag == "weights" else {}
    if name == "train filters" and flag == "weights":
        del given["artifact"]
    known = {each.name for each in flags_of(LINES[name].options) if each.kind is str}
    arguments = [f"--{each}={value}" for each, value in given.items() if each in known]
    first = [] if name == "train" else name.split()[1:]
    code = sample(arguments) if name == "train.sample_archive" else main([*first, *arguments])
    assert code == 2
    assert capsys.readouterr().err.startswith(f"error: --{flag}: ")
    assert list(tmp_path.iterdir()) == []
