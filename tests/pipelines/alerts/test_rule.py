"""The rule, against what its words say."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.alerts.rule import NEVER_US, STATUSES, Alerts, Histories, find_alerts
from tests.support.alert_oracle import Expected, Seen, expected_alerts, one_look_a_day

START = datetime(2026, 1, 1, tzinfo=UTC)
LATER = START + timedelta(days=5000)
Row = tuple[int, str, list[datetime | None], int]


def us(time: datetime) -> int:
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def histories(each: Sequence[Sequence[Seen]], baseline: date | None = None) -> Histories:
    """Histories of looks, one a day."""
    looks = [look for history in each for look in history]
    return Histories(
        np.array([len(history) for history in each], np.int64),
        np.array([look.positive for look in looks], np.bool_),
        np.array([us(look.at) for look in looks], np.int64),
        np.array([baseline is not None and look.at.date() <= baseline for look in looks], np.bool_),
    )


def found(
    each: Sequence[Sequence[Seen]], as_of: datetime = LATER, baseline: date | None = None
) -> list[Row]:
    """The alerts of each history: its number, status, times, and number of positives."""
    given = histories(each, baseline)
    alerts = find_alerts(given, us(as_of))
    return [_row(alerts, n, given.time_us) for n in range(len(alerts.first))]


def _row(alerts: Alerts, n: int, time_us) -> Row:
    looks = [alerts.first, alerts.previous, alerts.confirmed, alerts.last_seen, alerts.last_looked]
    moments = [int(time_us[of[n]]) if of[n] >= 0 else None for of in looks]
    moments.append(None if alerts.closed_us[n] == NEVER_US else int(alerts.closed_us[n]))
    times = [None if t is None else START + timedelta(microseconds=t - us(START)) for t in moments]
    return int(alerts.history[n]), STATUSES[alerts.status[n]], times, int(alerts.positives[n])


def wanted(number: int, alert: Expected) -> Row:
    times = [alert.first_detected, alert.previous_clear, alert.confirmed_at]
    times += [alert.seen[-1], alert.looked[-1], alert.closed_at]
    return number, alert.status, times, len(alert.seen)


def looks_of(signs: str, days: int = 5) -> list[Seen]:
    """One look for each sign, `days` apart: + is positive."""
    return [Seen(START + timedelta(days=n * days), sign == "+") for n, sign in enumerate(signs)]


def statuses(signs: str, days: int = 5, **more) -> list[str]:
    return [status for _, status, _, _ in found([looks_of(signs, days)], **more)]


@pytest.mark.parametrize(
    ("signs", "expected"),
    [
        ("", []),
        ("+", []),  # it was there before the first look
        ("-", []),
        ("+++++", []),
        ("+-+", []),  # one negative look does not clear a place with old damage
        ("+--+", ["low"]),
        ("-+", ["low"]),
        ("-++", ["low"]),
        ("-+++", ["high"]),
        ("-+-+-+", ["high"]),
        ("-+--++", ["high"]),  # at the fourth look
        ("-+---+", ["dropped"]),  # the fourth look opens nothing
        ("-+---++", ["dropped", "low"]),
        ("-+----+", ["dropped", "low"]),
        ("-+++---", ["ended"]),
        ("-+++--+--", ["high"]),
        ("-+++---+", ["ended", "low"]),
    ],
)
def test_signs_of_looks_lead_to_the_statuses_of_the_rule(signs, expected):
    """As of the last look: later, an alert that is low would be dropped."""
    last = START + timedelta(days=5 * max(0, len(signs) - 1))
    assert statuses(signs, as_of=last) == expected


def test_an_alert_is_dropped_when_more_than_180_days_have_passed():
    assert statuses("-+", as_of=START + timedelta(days=5 + 180)) == ["low"]
    late = START + timedelta(days=5 + 180, microseconds=1)
    assert statuses("-+", as_of=late) == ["dropped"]
    # 180 days later to the microsecond is not more than 180 days
    assert statuses("-++", days=180, as_of=START + timedelta(days=360)) == ["low"]
    assert statuses("-+++", days=91, as_of=START + timedelta(days=273)) == ["dropped", "low"]


def test_after_a_drop_by_time_the_next_look_may_open_an_alert():
    first, second = found([looks_of("-++", 181)], as_of=START + timedelta(days=362))
    assert (first[1], second[1]) == ("dropped", "low")
    assert first[2][-1] == START + timedelta(days=181 + 180)
    # the last negative look is before the first alert
    assert second[2][:2] == [START + timedelta(days=362), START]


@pytest.mark.parametrize(
    ("signs", "until", "expected"),
    [
        ("-+-+", 3, []),  # known: any look of the baseline is positive
        ("-+-+", 1, []),  # one negative look after it does not clear it
        ("-+--+", 0, ["low"]),
        ("+--+", 1, []),  # negative looks of the baseline do not count
        ("+---+", 1, ["low"]),
        ("----+", 3, ["low"]),
        ("+", -1, []),  # first seen after the baseline: known
    ],
)
def test_looks_of_the_baseline_only_decide_between_known_and_clear(signs, until, expected):
    baseline = (START + timedelta(days=5 * until)).date()
    last = START + timedelta(days=5 * (len(signs) - 1))
    assert statuses(signs, as_of=last, baseline=baseline) == expected


def random_history(draw: Random) -> list[Seen]:
    chance, gap = draw.choice([0.1, 0.3, 0.5, 0.8]), draw.choice([1, 3, 20, 60, 200])
    at, looks = START, []
    for _ in range(draw.randrange(0, 25)):
        at += timedelta(days=draw.randint(1, gap), seconds=draw.randint(-9999, 9999))
        looks.append(Seen(at, draw.random() < chance))
    return one_look_a_day(looks)


@pytest.mark.parametrize("seed", range(8))
def test_ten_thousand_random_histories_have_the_alerts_that_the_words_say(seed):
    draw = Random(seed)
    each = [random_history(draw) for _ in range(1250)]
    as_of = START + timedelta(days=draw.randint(300, 3000))
    each = [[look for look in history if look.at <= as_of] for history in each]
    baseline = draw.choice([None, (START + timedelta(days=draw.randint(0, 100))).date()])
    expected = [
        wanted(number, alert)
        for number, looks in enumerate(each)
        for alert in expected_alerts(looks, as_of, baseline)
    ]
    assert len(expected) > 300
    assert found(each, as_of, baseline) == expected


LOOKS = st.lists(
    st.tuples(st.integers(0, 60 * 24 * 30), st.booleans()), max_size=14
)  # hours and signs, with many looks a day


@settings(max_examples=400, deadline=None)
@given(st.lists(LOOKS, max_size=4), st.none() | st.integers(0, 900), st.integers(0, 60 * 24 * 40))
@example([[(0, False), (24, True), (4500, True)]], None, 4500)
def test_any_history_has_the_alerts_that_the_words_say(each, baseline_day, as_of_hour):
    as_of = START + timedelta(hours=as_of_hour)
    baseline = None if baseline_day is None else (START + timedelta(days=baseline_day)).date()
    seen = [[Seen(START + timedelta(hours=h), sign) for h, sign in looks] for looks in each]
    merged = [one_look_a_day([look for look in looks if look.at <= as_of]) for looks in seen]
    expected = [
        wanted(number, alert)
        for number, looks in enumerate(seen)
        for alert in expected_alerts(looks, as_of, baseline)
    ]
    assert found(merged, as_of, baseline) == expected


def test_no_histories_have_no_alerts():
    assert found([]) == []
    assert found([[], []]) == []
