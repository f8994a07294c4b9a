"""Tells open pages of changes: one look at the index for all of them."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from anyio import CapacityLimiter, sleep, to_thread

from node.core.errors import Retryable
from node.storage.index.engine import Index
from node.storage.index.search.changes import Change, Changes

MOST_LISTENERS: Final = 100
LOOK_SECONDS: Final = 0.5
_BEAT_SECONDS: Final = 15.0  # after which a comment is sent, so that proxies keep the connection
_LIFE_SECONDS: Final = 900.0
"""After which the browser has to connect anew, and to show again that it may."""
_KEPT: Final = 2000  # changes, for listeners that are slow
_THREADS: Final = 2


class TooManyListeners(Retryable):
    """As many pages are open as may be."""


class ChangeFeed:
    """Changes of series, numbered, and who listens to them. For many threads.

    Args:
        index: that is looked at.
    """

    def __init__(self, index: Index) -> None:
        self._changes = Changes(index)
        self._lock = threading.Lock()
        self._looked = 0.0
        self._number = 0
        self._kept: deque[tuple[int, str]] = deque(maxlen=_KEPT)
        self._listeners = 0
        self._threads = CapacityLimiter(_THREADS)
        self.closing = threading.Event()

    def after(self, number: int) -> tuple[int, list[str]]:
        """The changes after a number, as the data of events, and the number of the last one."""
        with self._lock:
            now = time.monotonic()
            if now - self._looked >= LOOK_SECONDS:
                self._looked = now
                for change in self._changes.look():
                    self._number += 1
                    self._kept.append((self._number, _data(change)))
            return self._number, [data for at, data in self._kept if at > number]

    async def listen(self) -> AsyncIterator[bytes]:
        """The events of one listener, as bytes of a text/event-stream.

        Raises:
            TooManyListeners: there are as many as may be.
            Retryable: the index does not answer now.
        """
        if self._listeners >= MOST_LISTENERS:
            raise TooManyListeners("as many pages are open as may be; close some, and reload")
        number, _ = await to_thread.run_sync(self.after, 0, limiter=self._threads)
        return self._events(number)

    async def _events(self, number: int) -> AsyncIterator[bytes]:
        if self._listeners >= MOST_LISTENERS:
            return  # others came at the same time; the browser tries again
        self._listeners += 1
        try:
            yield b": changes of series\nretry: 3000\n\n"
            began = beat = time.monotonic()
            while not self.closing.is_set() and time.monotonic() - began < _LIFE_SECONDS:
                await sleep(LOOK_SECONDS)
                try:
                    number, found = await to_thread.run_sync(
                        self.after, number, limiter=self._threads
                    )
                except Retryable:
                    continue  # /health tells of it
                if found:
                    yield b"".join(f"data: {data}\n\n".encode() for data in found)
                    beat = time.monotonic()
                elif time.monotonic() - beat > _BEAT_SECONDS:
                    yield b":\n\n"
                    beat = time.monotonic()
        finally:
            self._listeners -= 1


def _data(change: Change) -> str:
    return json.dumps(
        {
            "series_instance_uid": change.series_uid,
            "address": change.address,
            "state": change.state,
            "revision": change.revision,
            "instances": change.instances,
        }
    )
