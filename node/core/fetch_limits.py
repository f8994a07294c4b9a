"""When and how fast studies may be fetched from a peer: values, and what they say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Final

_WINDOW: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
_INSTANCES: Final = re.compile(r"(\d+(?:\.\d+)?) ?/ ?min")
_BYTES: Final = re.compile(r"(\d+(?:\.\d+)?) ?([KMG]iB) ?/ ?s")
_UNITS: Final = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


@dataclass(frozen=True, slots=True)
class Window:
    """A time of day in which studies may be retrieved, in the node's local time.

    Attributes:
        begin: the first moment of it.
        end: the first moment after it; not later than `begin`: it crosses midnight.
    """

    begin: time
    end: time

    @classmethod
    def parse(cls, text: str) -> Window:
        """Read HH:MM-HH:MM.

        Raises:
            ValueError: it is no such window, or begins and ends at the same minute.
        """
        found = _WINDOW.fullmatch(text.strip())
        if found is None:
            raise ValueError("a window is HH:MM-HH:MM in local time, such as 20:00-06:00")
        hours = [int(part) for part in found.groups()]
        begin, end = time(hours[0], hours[1]), time(hours[2], hours[3])
        if begin == end:
            raise ValueError("a window ends at another minute than it begins")
        return cls(begin, end)

    def __str__(self) -> str:
        return f"{self.begin:%H:%M}-{self.end:%H:%M}"

    def is_open(self, now: datetime) -> bool:
        """Whether it is open.

        Args:
            now: local time.
        """
        at = now.time()
        if self.begin < self.end:
            return self.begin <= at < self.end
        return at >= self.begin or at < self.end

    def opens_at(self, now: datetime) -> datetime:
        """The next moment, local time, at which it is open: now, if it is.

        Args:
            now: local time.
        """
        if self.is_open(now):
            return now
        today = now.replace(hour=self.begin.hour, minute=self.begin.minute, second=0, microsecond=0)
        return today if today > now else today + timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Rate:
    """How much may come on average.

    Attributes:
        instances: a second; None: any number.
        bytes: a second; None: any number.
    """

    instances: float | None = None
    bytes: float | None = None

    @classmethod
    def parse(cls, text: str) -> Rate:
        """Read `N/min` (instances) or `N MiB/s` (KiB, MiB, GiB).

        Raises:
            ValueError: it is no such rate, or nothing would ever come.
        """
        plain = text.strip()
        if found := _INSTANCES.fullmatch(plain):
            rate = cls(instances=float(found[1]) / 60)
        elif found := _BYTES.fullmatch(plain):
            rate = cls(bytes=float(found[1]) * _UNITS[found[2]])
        else:
            raise ValueError("a rate is N/min (instances) or N MiB/s, such as 300/min")
        if not (rate.instances or rate.bytes):
            raise ValueError("a rate is more than 0")
        return rate

    def seconds(self, instances: int, size: int) -> float:
        """How long so much takes at this rate, in s.

        Args:
            instances: how many came.
            size: bytes that came.
        """
        if self.instances is not None:
            return instances / self.instances
        return size / self.bytes if self.bytes else 0.0
