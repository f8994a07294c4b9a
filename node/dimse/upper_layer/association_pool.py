"""Associations that are prepared while nobody comes.

To make what pynetdicom keeps of an association takes half a millisecond, a quarter of what it
takes until the association can be used; where several peers come at once, each waits for those
before it. Nothing of it depends on the peer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

Prepared = TypeVar("Prepared")

MOST: Final = 8
"""As many as mostly come at once; each is some 40 kB."""


class Stock(Generic[Prepared]):
    """For one thread.

    Args:
        make: makes one.
    """

    def __init__(self, make: Callable[[], Prepared]) -> None:
        self._make = make
        self._ready: deque[Prepared] = deque()

    def take(self) -> Prepared:
        """One that was prepared, or a new one."""
        return self._ready.popleft() if self._ready else self._make()

    def add(self) -> bool:
        """Prepare one more, unless there are enough; whether there could be more still."""
        if len(self._ready) < MOST:
            self._ready.append(self._make())
        return len(self._ready) < MOST
