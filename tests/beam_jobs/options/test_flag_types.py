from __future__ import annotations

import argparse
from datetime import UTC, datetime

import pytest

from beam_jobs.options import flag_types
from beam_jobs.options.run_options import parse_score_options
from pipelines.errors import UsageError

NEEDED = ["--chips", "/c", "--artifact", "/a", "--output", "/o"]


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (flag_types.at_least_1, "1e3", "'1e3' is no whole number"),
        (flag_types.at_least_1, "9" * 20, f"{'9' * 20} is over 1000000000000000"),
        (flag_types.positive, "abc", "'abc' is no number"),
        (flag_types.positive, "inf", "inf is no finite number over 0"),
        (flag_types.days, "1000000000000", "1000000000000 is over 36500"),
        (flag_types.hours, "1000000000000", "1000000000000 is over 876000"),
    ],
)
def test_a_number_that_cannot_be_is_refused_and_told(read, text: str, said: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as refused:
        read(text)
    assert str(refused.value) == said


@pytest.mark.parametrize("flag", ["--run_id", "--run_date"])
def test_an_empty_name_of_a_run_is_refused_rather_than_taken_for_none(
    flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_score_options([*NEEDED, flag, ""], datetime.now(UTC))
    assert ended.value.code == 2
    assert f"{flag}: it is empty" in capsys.readouterr().err


def test_the_longest_time_that_staging_is_kept_is_one_that_the_calendar_has() -> None:
    options = parse_score_options([*NEEDED, "--keep_staging_days", "36500"], datetime.now(UTC))
    assert options.keep_staging_days == 36_500


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--estimate", "--plan_only"], "give one of them"),
        (["--artifact", "model/artifact.json"], "give the folder that this file lies in"),
    ],
)
def test_flags_that_ask_for_what_cannot_be_are_refused_and_told(
    flags: list[str], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        parse_score_options([*NEEDED, *flags], datetime.now(UTC))
