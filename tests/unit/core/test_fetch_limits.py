"""When and how fast may be fetched."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.core.fetch_limits import Rate, Window

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
MINUTES = st.integers(0, 24 * 60 - 1)


def at(minute: int) -> datetime:
    return MIDNIGHT + timedelta(minutes=minute)


@given(MINUTES, MINUTES, MINUTES)
def test_a_window_is_open_from_its_beginning_to_its_end(begin: int, end: int, now: int) -> None:
    if begin == end:
        return
    window = Window.parse(f"{at(begin):%H:%M}-{at(end):%H:%M}")
    length = (end - begin) % (24 * 60)
    assert window.is_open(at(now)) == ((now - begin) % (24 * 60) < length)


@given(MINUTES, MINUTES, MINUTES)
def test_it_opens_next_at_the_first_moment_at_which_it_is_open(
    begin: int, end: int, now: int
) -> None:
    if begin == end:
        return
    window = Window.parse(f"{at(begin):%H:%M}-{at(end):%H:%M}")
    opens = window.opens_at(at(now))
    assert window.is_open(opens)
    assert at(now) <= opens < at(now) + timedelta(days=1)
    if opens > at(now):
        assert not window.is_open(opens - timedelta(minutes=1))


@pytest.mark.parametrize("text", ["25:00-26:00", "8-9", "08:00-08:00", "08:60-09:00", "", "08:00"])
def test_what_is_no_window(text: str) -> None:
    with pytest.raises(ValueError, match="window"):
        Window.parse(text)


def test_rates() -> None:
    assert Rate.parse("30/min").seconds(5, 0) == 10.0
    assert Rate.parse("1 MiB/s").seconds(1, 3 << 20) == 3.0
    assert Rate.parse("2GiB/s").seconds(1, 1 << 30) == 0.5


@pytest.mark.parametrize("text", ["fast", "0/min", "0 MiB/s", "-1/min", "3/h", "1 MB/s"])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match="rate"):
        Rate.parse(text)
