"""What is new about an alert, next to what was published about it."""

from datetime import UTC, datetime
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipelines.alerts.changes import steps_from

T = [datetime(2026, 1, n, tzinfo=UTC) for n in range(1, 6)]
LOW, HIGH, DROPPED, ENDED = (("low", T[0]), ("high", T[1]), ("dropped", T[2]), ("ended", T[3]))
PATHS = ([LOW], [LOW, HIGH], [LOW, DROPPED], [LOW, HIGH, ENDED])


def names(published: str | None, path: list[tuple[str, datetime]]) -> list[str]:
    return [status for status, _ in steps_from(published, path, T[4])]


def test_a_new_alert_has_all_its_changes_with_their_times():
    assert steps_from(None, [LOW, HIGH, ENDED], None) == [LOW, HIGH, ENDED]
    assert steps_from("retracted", [LOW, HIGH], T[0]) == [LOW, HIGH]


def test_only_what_came_after_the_published_status_is_new():
    assert names("low", [LOW, HIGH, ENDED]) == ["high", "ended"]
    assert names("high", [LOW, HIGH, ENDED]) == ["ended"]
    assert names("low", [LOW]) == []


def test_a_status_that_is_not_true_any_more_is_corrected():
    assert names("high", [LOW, DROPPED]) == ["dropped"]
    assert names("dropped", [LOW, HIGH, ENDED]) == ["high", "ended"]
    assert steps_from("ended", [LOW], T[0]) == [LOW]


def test_an_alert_that_is_no_longer_found_is_retracted_as_of_its_first_detection():
    assert steps_from("high", [], T[0]) == [("retracted", T[0])]


@given(st.sampled_from([None, "retracted", "low", "high", "dropped", "ended"]),
       st.lists(st.sampled_from([[], *PATHS]), max_size=5))  # fmt: skip
def test_changes_always_lead_to_the_last_status_and_none_changes_nothing(published, paths):
    status = published
    for path in paths:
        if not path and status in (None, "retracted"):
            continue
        steps = names(status, path)
        assert all(a != b for a, b in pairwise([status, *steps]))
        status = steps[-1] if steps else status
        assert status == (path[-1][0] if path else "retracted")
