"""Ranges of dates and times (PS3.4 C.2.2.2.5), from keys and from stored values."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import NamedTuple

_Reader = Callable[[str], str | None]

_DATE = re.compile(r"(\d{4})(?:\.?(\d{2})(?:\.?(\d{2}))?)?")
_TIME = re.compile(r"(\d{2})(?::?(\d{2})(?::?(\d{2})(?:\.(\d{1,6}))?)?)?")
_MOMENT = re.compile(r"(\d{4})(\d{2})?(\d{2})?(\d{2})?(\d{2})?(\d{2})?(?:\.(\d{1,6}))?([+-]\d{4})?")
_MOST_HOURS = 14  # the eastern end of the offsets from UTC


class Bounds(NamedTuple):
    """A closed range of texts or moments; None is an open end."""

    low: str | None
    high: str | None

    def holds(self, value: str) -> bool:
        """Tell whether the value lies within, both ends included."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    @property
    def form(self) -> tuple[bool, bool]:
        """Which ends are closed: ranges of the same form can be combined (PS3.4 C.2.2.2.5.4)."""
        return self.low is not None, self.high is not None


class Moments(NamedTuple):
    """A closed range of moments in time; None is an open end."""

    low: datetime | None
    high: datetime | None

    def holds(self, value: str) -> bool:
        """Tell whether a stored DT lies within; False for an invalid DT."""
        span = _span(value)
        if span is None:
            return False
        return (self.low is None or span[0] >= self.low) and (
            self.high is None or span[0] <= self.high
        )


def date_range(text: str) -> Bounds | None:
    """Read a DA key: a date or a range of dates; None if it is neither.

    Dates with ACR-NEMA's dots, and dates without day or month, are accepted.

    Examples:
        >>> date_range("202601-")
        Bounds(low='20260101', high=None)
    """
    ends = _ends(text, _date_low, _date_high)
    return None if ends is None else Bounds(*ends)


def time_range(text: str) -> Bounds | None:
    """Read a TM key: a time or a range of times; None if it is neither.

    A time of lower precision covers its whole hour, minute or second. The order of the bounds as
    text is the order of times, whatever the precision of a stored time.
    """
    ends = _ends(text, _time_low, _time_high)
    return None if ends is None else Bounds(*ends)


def moment_range(text: str) -> Moments | None:
    """Read a DT key: a date and time or a range of them; None if it is neither.

    Offsets from UTC are applied; without an offset UTC is assumed, as for stored values.
    """
    single = _span(text)
    if single is not None:
        return Moments(*single)
    for index, char in enumerate(text):
        if char != "-":
            continue
        low, high = text[:index].strip(), text[index + 1 :].strip()
        first, last = _span(low), _span(high)
        if (first or not low) and (last or not high) and (first or last):
            return Moments(first[0] if first else None, last[1] if last else None)
    return None


def _ends(text: str, read_low: _Reader, read_high: _Reader) -> tuple[str | None, str | None] | None:
    if "-" not in text:
        first, last = read_low(text.strip()), read_high(text.strip())
        return (first, last) if first is not None else None
    begin, _, end = (part.strip() for part in text.partition("-"))
    first = read_low(begin) if begin else None
    last = read_high(end) if end else None
    if (begin and first is None) or (end and last is None) or not (begin or end):
        return None
    return first, last


def _date_low(text: str) -> str | None:
    match = _DATE.fullmatch(text)
    return f"{match[1]}{match[2] or '01'}{match[3] or '01'}" if match else None


def _date_high(text: str) -> str | None:
    match = _DATE.fullmatch(text)
    return f"{match[1]}{match[2] or '12'}{match[3] or '31'}" if match else None


def _time_low(text: str) -> str | None:
    match = _TIME.fullmatch(text)
    if not match:
        return None
    hour, minute, second, fraction = match.groups(default="")
    fraction = fraction.rstrip("0")
    if fraction:
        return f"{hour}{minute}{second}.{fraction}"
    # "09" comes before "0900" and "090000", and all of them are nine o'clock.
    parts = [minute, second]
    while parts and parts[-1] in {"", "00"}:
        parts.pop()
    return hour + "".join(parts)


def _time_high(text: str) -> str | None:
    match = _TIME.fullmatch(text)
    if not match:
        return None
    hour, minute, second, fraction = match.groups()
    return f"{hour}{minute or '59'}{second or '60'}.{(fraction or '').ljust(6, '9')}"


def _span(text: str) -> tuple[datetime, datetime] | None:
    """Return the first and the last microsecond of a DT value, in UTC."""
    match = _MOMENT.fullmatch(text.strip())
    if not match:
        return None
    *fields, fraction, offset = match.groups()
    given = [int(field) for field in fields if field is not None]
    if fields[: len(given)] != [field for field in fields if field is not None]:
        return None
    if fraction is not None and len(given) < 6:
        return None
    zone = _zone(offset)
    if zone is None:
        return None
    try:
        low = datetime(*(given + [1, 1, 1, 0, 0, 0][len(given) :]), tzinfo=zone)  # type: ignore[misc,arg-type]
        if fraction is not None:
            low += timedelta(microseconds=int(fraction.ljust(6, "0")))
            width = timedelta(microseconds=10 ** (6 - len(fraction)))
        else:
            width = _width(low, len(given))
        high = low + width - timedelta(microseconds=1)
        return low.astimezone(UTC), high.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _zone(offset: str | None) -> timezone | None:
    if offset is None:
        return UTC
    hours, minutes = int(offset[1:3]), int(offset[3:])
    if hours > _MOST_HOURS or minutes > 59:
        return None
    sign = -1 if offset[0] == "-" else 1
    return timezone(sign * timedelta(hours=hours, minutes=minutes))


def _width(low: datetime, fields: int) -> timedelta:
    if fields == 1:
        return low.replace(year=low.year + 1) - low
    if fields == 2:
        following = low.replace(day=28) + timedelta(days=4)
        return following.replace(day=1) - low
    return (
        timedelta(days=1),
        timedelta(hours=1),
        timedelta(minutes=1),
        timedelta(seconds=1),
    )[fields - 3]
