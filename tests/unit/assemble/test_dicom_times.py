"""Moments, over midnight where no day is known or none was."""

from __future__ import annotations

import pytest

from node.assemble.order.dicom_times import DAY, SECOND, earliest, elapsed

LATE, EARLY = 86_399 * SECOND, 1 * SECOND
SOME_DAY = 738_000 * DAY


@pytest.mark.parametrize("day", [0, SOME_DAY])
def test_one_day_for_both_sides_of_midnight(day: int) -> None:
    assert elapsed(day + LATE, day + EARLY) == 2 * SECOND
    assert elapsed(day + EARLY, day + LATE) == LATE - EARLY
    assert earliest([day + EARLY, None, day + LATE]) == day + LATE
    assert earliest([day + EARLY, day + 2 * EARLY]) == day + EARLY


def test_days_that_were() -> None:
    assert elapsed(SOME_DAY + LATE, SOME_DAY + DAY + EARLY) == 2 * SECOND
    assert elapsed(SOME_DAY + DAY, SOME_DAY) == -DAY
    assert earliest([SOME_DAY + DAY + EARLY, SOME_DAY + LATE]) == SOME_DAY + LATE
    assert earliest([None]) is None
