"""DICOM's times (TM, DA, DT) as microseconds that can be subtracted."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from itertools import pairwise
from typing import Final

from node.dicom import Elements

SECOND: Final = 1_000_000
"""µs. Moments are integers, as a float cannot hold microseconds since the year 1."""
DAY: Final = 86_400 * SECOND
LONGEST_PAUSE: Final = DAY // 2
"""µs; times of day that are further apart than this belong to two days, as no series takes so
long."""
_FRACTION_DIGITS: Final = 6
"""Decimals of a second in TM and DT (PS3.5 6.2)."""


def time_of_day(text: str | None) -> int | None:
    """Turn TM, HHMMSS.FFFFFF or the old HH:MM:SS, into µs since midnight (PS3.5 6.2).

    Examples:
        >>> time_of_day("000001.5")
        1500000
        >>> time_of_day("noon") is None
        True
    """
    if text is None:
        return None
    digits, _, fraction = text.replace(":", "").partition(".")
    if (
        not digits.isdecimal()
        or len(digits) not in {2, 4, 6}
        or (fraction and not fraction.isdecimal())
    ):
        return None
    parts = [int(digits[at : at + 2]) for at in range(0, len(digits), 2)] + [0, 0]
    seconds = parts[0] * 3600 + parts[1] * 60 + parts[2]
    return seconds * SECOND + int(fraction[:_FRACTION_DIGITS].ljust(_FRACTION_DIGITS, "0"))


def moment(day: str | None, time: str | None) -> int | None:
    """Turn DA and TM into a moment (PS3.5 6.2).

    Args:
        day: DA, YYYYMMDD; None or an invalid one is not known.
        time: TM.

    Returns:
        µs since the year 1, or since midnight where the day is not known; None without a valid
        time.
    """
    clock = time_of_day(time)
    if clock is None or day is None:
        return clock
    compact = day.replace(".", "")
    if len(compact) != 8 or not compact.isdigit():
        return clock
    try:
        ordinal = date(int(compact[:4]), int(compact[4:6]), int(compact[6:])).toordinal()
    except ValueError:
        return clock
    return ordinal * DAY + clock


def elapsed(since: int, until: int) -> int:
    """Return the µs from one moment to another, across midnight if the day is not known.

    If both have the same day and the clock fell by more than half a day, that day is not the true
    one: anonymisers write one date everywhere.

    Args:
        since: µs.
        until: µs.

    Examples:
        >>> elapsed(time_of_day("235959"), time_of_day("000001"))
        2000000
    """
    passed = until - since
    one_day = since // DAY == until // DAY
    return passed + DAY if one_day and passed < -LONGEST_PAUSE else passed


def earliest(moments: Iterable[int | None]) -> int | None:
    """Return the first of moments that lie close to each other, across midnight as `elapsed` does.

    Args:
        moments: µs; None if not known.
    """
    known = sorted(moment for moment in moments if moment is not None)
    for before, after in pairwise(known):
        if after - before > LONGEST_PAUSE and before // DAY == after // DAY:
            return after
    return known[0] if known else None


def acquired(elements: Elements) -> int | None:
    """Return when an image was acquired (PS3.3 C.7.6.1), in µs as `moment` counts them.

    Acquisition Date is often absent; then the day is that of Series Date, or the next day if the
    series began so much later by the clock that midnight lies between. Without Series Time the
    day is not known.
    """
    whole = date_time(elements.text(0x0008002A))
    if whole is not None:
        return whole
    clock = elements.text(0x00080032)
    day = elements.text(0x00080022)
    if day is not None:
        return moment(day, clock)
    began, time = time_of_day(elements.text(0x00080031)), time_of_day(clock)
    if began is None or time is None:
        return time
    later = moment(elements.text(0x00080021), clock)
    over = began - time > LONGEST_PAUSE
    return later + DAY if over and later is not None else later


def date_time(text: str | None) -> int | None:
    """Turn DT, YYYYMMDDHHMMSS.FFFFFF&ZZXX without its zone, into µs as `moment` does."""
    if text is None or len(text) < 10:
        return None
    plain = text.split("+", 1)[0].split("-", 1)[0]
    return moment(plain[:8], plain[8:])
