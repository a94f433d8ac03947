"""Days and times as people write them."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.moments import parse_date, parse_time


@given(st.dates())
def test_a_date_is_read_as_it_is_written(day: date) -> None:
    assert parse_date(str(day)) == day


@pytest.mark.parametrize("text", ["", "20260701", "2026-W27-3", "2026-7-1", "2026-07-01T00:00"])
def test_other_forms_of_dates_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"isoformat|is not YYYY-MM-DD"):
        parse_date(text)


@given(
    st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1)),
    st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
def test_a_time_is_in_utc_whatever_its_zone(time: datetime, zone: timezone) -> None:
    assert parse_time(time.isoformat()) == time.replace(tzinfo=UTC)
    zoned = time.replace(tzinfo=zone)
    assert parse_time(zoned.isoformat()) == zoned
    assert parse_time(zoned.isoformat()).tzinfo is UTC


def test_a_day_is_its_first_moment_and_a_time_out_of_range_is_refused() -> None:
    assert parse_time("2026-07-01") == datetime(2026, 7, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="out of range in UTC"):
        parse_time("0001-01-01T00:00+14:00")
