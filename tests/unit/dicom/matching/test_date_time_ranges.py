"""Ranges of dates and times (PS3.4 C.2.2.2.5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.dicom.matching.date_time_ranges import date_range, moment_range, time_range


@pytest.mark.parametrize(
    ("key", "value", "within"),
    [
        ("20200229", "20200229", True),
        ("20200229", "20200228", False),
        ("20200101-20200131", "20200101", True),
        ("20200101-20200131", "20200131", True),
        ("20200101-20200131", "20200201", False),
        ("20200101-", "20991231", True),
        ("20200101-", "20191231", False),
        ("-20200101", "19000101", True),
        ("-20200101", "20200102", False),
        (" 20200101 - 20200131 ", "20200115", True),
        ("2020.01.01", "20200101", True),
        ("202002", "20200229", True),
        ("2020", "20201231", True),
    ],
)
def test_dates(key: str, value: str, within: bool) -> None:
    bounds = date_range(key)
    assert bounds is not None
    assert bounds.holds(value) is within


@pytest.mark.parametrize(
    ("key", "value", "within"),
    [
        ("093000", "093000", True),
        ("093000", "0930", True),
        ("0930", "093059.999999", True),
        ("0930", "0931", False),
        ("0900-1030", "1015", True),
        ("1100-1130", "11", True),
        ("110001-1130", "11", False),
        ("235959-", "235959.123456", True),
        ("-010300", "010203.5", True),
        ("0930-2359", "235959.123456", True),
        ("093000.5-", "093000.49", False),
        ("093000.5-", "093000.50", True),
        ("093000.500-", "093000.5", True),
        ("-093000.5", "093000.59", True),
        ("-093000.5", "093000.6", False),
        ("00-", "000000", True),
        ("09:30:00", "0930", True),
    ],
)
def test_times(key: str, value: str, within: bool) -> None:
    bounds = time_range(key)
    assert bounds is not None
    assert bounds.holds(value) is within


@given(st.times(), st.times(), st.times(), st.sampled_from(["%H", "%H%M", "%H%M%S", "%H%M%S.%f"]))
def test_any_precision_of_a_stored_time(low, high, value, form) -> None:
    bounds = time_range(f"{low:%H%M%S.%f}-{high:%H%M%S.%f}")
    assert bounds is not None
    stored = value.strftime(form)
    exact = stored.replace(".", "").ljust(12, "0")
    assert bounds.holds(stored) is (f"{low:%H%M%S%f}" <= exact <= f"{high:%H%M%S%f}")


@pytest.mark.parametrize("key", ["2020010", "x", "20200101-x", "-", "20200101-20200102-20200103"])
def test_what_is_no_date(key: str) -> None:
    assert date_range(key) is None


@pytest.mark.parametrize("key", ["1", "x", "09300", "0930.5", "-", "0930-x"])
def test_what_is_no_time(key: str) -> None:
    assert time_range(key) is None


@pytest.mark.parametrize(
    ("key", "value", "within"),
    [
        ("20200101", "20200101235959.9", True),
        ("20200101", "20200102", False),
        ("2020", "20201231", True),
        ("202002", "20200229120000", True),
        ("20200101-20200131", "20200131120000", True),
        ("20200101120000+0100", "20200101110000+0000", True),
        ("20200101120000+0100-", "20200101113000", True),
        ("-20200101120000", "20200101130000+0200", True),
        ("2010-2011", "20110601", True),
        ("20200101", "nonsense", False),
        ("20200101", "20201301", False),
    ],
)
def test_moments(key: str, value: str, within: bool) -> None:
    span = moment_range(key)
    assert span is not None
    assert span.holds(value) is within


@pytest.mark.parametrize("key", ["", "-", "x", "20201301", "2020010112-x"])
def test_what_is_no_moment(key: str) -> None:
    assert moment_range(key) is None
