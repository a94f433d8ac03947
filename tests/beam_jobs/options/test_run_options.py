from __future__ import annotations

from datetime import UTC, datetime

import pytest

from beam_jobs.options.run_options import parse_score_options
from pipelines.errors import UsageError

NEEDED = ["--chips", "/c", "--artifact", "/a", "--output", "/o"]


@pytest.mark.parametrize("flag", ["--run_id", "--run_date"])
def test_an_empty_name_of_a_run_is_refused_and_not_replaced_by_the_default(flag: str) -> None:
    with pytest.raises(UsageError, match=f"{flag}: it is empty"):
        parse_score_options([*NEEDED, flag, ""], datetime.now(UTC))


def test_staging_may_be_kept_for_a_century() -> None:
    options = parse_score_options([*NEEDED, "--keep_staging_days", "36500"], datetime.now(UTC))
    assert options.keep_staging_days == 36_500


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--estimate", "--plan_only"], "give one of them"),
        (["--artifact", "model/artifact.json"], "give the folder that contains it"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(flags: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_score_options([*NEEDED, *flags], datetime.now(UTC))
