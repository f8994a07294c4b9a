"""Associations that are made ahead, while no peer connects.

To make pynetdicom's objects for an association takes half a millisecond, a quarter of the time
until it can be used. Where several peers connect at once, each waits for those before it. Nothing
in these objects depends on the peer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

Made = TypeVar("Made")

SIZE: Final = 8
"""Rarely more peers than this connect at once; each association takes some 40 kB."""


class AssociationPool(Generic[Made]):
    """Associations that wait for a peer. For one thread.

    Args:
        make: makes one.
    """

    def __init__(self, make: Callable[[], Made]) -> None:
        self._make = make
        self._ready: deque[Made] = deque()

    def take(self) -> Made:
        """One that was made ahead, or a new one."""
        return self._ready.popleft() if self._ready else self._make()

    def add(self) -> bool:
        """Make one more unless the pool is full; whether it has room for more afterwards."""
        if len(self._ready) < SIZE:
            self._ready.append(self._make())
        return len(self._ready) < SIZE
