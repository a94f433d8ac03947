"""Command lines made from options, and the exit codes of errors."""

from __future__ import annotations

import gc

import pytest

from pipelines.commands import CommandLine, exit_code
from pipelines.errors import RunFailed, StorageError, StoreDown, UsageError
from schemas.artifact import ArtifactError
from schemas.labels import LabelSetError
from tests.pipelines.test_flags import Inner, Options

LINE = CommandLine("beam_jobs.example", Options, "An example.")
NEEDED = ["--output", "out"]


def test_missing_flags_have_the_defaults_of_their_fields() -> None:
    assert LINE.parse(NEEDED) == Options(output="out")


def test_given_flags_become_fields_also_of_nested_options() -> None:
    given = ["--kind", "a", "--names", "x", "y", "--the_share", "0.1"]
    expected = Options(output="out", kind="a", names=("x", "y"), inner=Inner(0.1))
    assert LINE.parse([*NEEDED, *given]) == expected


def test_given_flags_win_over_values_and_values_over_defaults() -> None:
    expected = Options(output="out", kind="a", inner=Inner(0.2))
    assert (
        LINE.parse([*NEEDED, "--kind", "a"], lambda given: {"share": 0.2, "kind": "b"}) == expected
    )


def test_unknown_flags_are_passed_on_where_they_are_allowed() -> None:
    options, rest = LINE.parse_known([*NEEDED, "--runner", "DirectRunner"])
    assert (options, rest) == (Options(output="out"), ["--runner", "DirectRunner"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: --output"),
        ([*NEEDED, "--other"], "unrecognized arguments: --other"),
        ([*NEEDED, "--kin", "a"], "unrecognized arguments: --kin a"),
        ([*NEEDED, "--kind", "c"], "argument --kind: invalid choice: 'c'"),
        ([*NEEDED, "--the_share", "2"], "argument --the_share: must be from 0 to 1, not 2"),
    ],
)
def test_wrong_arguments_are_a_usage_error(arguments, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        LINE.parse(arguments)


def test_a_removed_flag_warns_in_one_line_and_does_nothing(capsys) -> None:
    assert LINE.parse([*NEEDED, "--old", "0.4", "--kind", "a"]) == Options(output="out", kind="a")
    warning = "warning: --old has no effect any more; the next release refuses it\n"
    assert capsys.readouterr().err == warning


def test_the_help_names_required_flags_first_and_no_removed_ones() -> None:
    text = LINE.parser().format_help()
    assert text.startswith("usage: python -m beam_jobs.example --output URI [flags]\n")
    assert text.index("required flags:") < text.index("--output URI  ") < text.index("other flags:")
    assert "--old" not in text
    assert "--old" in LINE.flag_names()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("u"), 2),
        (ArtifactError("a"), 2),
        (LabelSetError("l"), 2),
        (RunFailed("r"), 1),
        (StorageError("s"), 1),
        (StoreDown("d"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_each_error_has_one_exit_code(error: BaseException, code: int) -> None:
    def fail(_arguments: object) -> int:
        raise error

    assert exit_code(fail, []) == code


def test_a_command_runs_with_the_garbage_collector_whether_it_was_imported_with_it_or_not():
    gc.disable()
    try:
        assert exit_code(lambda arguments: int(gc.isenabled()), []) == 1
    finally:
        gc.enable()
