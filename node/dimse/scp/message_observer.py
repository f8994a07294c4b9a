"""Observes messages that pynetdicom drops: C-CANCELs and answers to N-EVENT-REPORTs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from weakref import WeakKeyDictionary

from pynetdicom.association import Association
from pynetdicom.events import Event

from node.dimse.upper_layer.messages import (
    C_CANCEL_RQ,
    C_FIND_RQ,
    C_GET_RQ,
    C_MOVE_RQ,
    N_EVENT_REPORT_RQ,
    RESPONSE,
)

_CANCELLABLE: Final = (C_FIND_RQ, C_GET_RQ, C_MOVE_RQ)
_MOST_CANCELS: Final = 16  # that are remembered for each association


class Cancellations:
    """Remembers the C-CANCEL requests of each association.

    pynetdicom forgets a C-CANCEL that arrives before its operation is served.
    """

    def __init__(self) -> None:
        self._ids: WeakKeyDictionary[Association, dict[int, None]] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def seen(self, event: Event) -> None:
        """Handle pynetdicom's EVT_DIMSE_RECV."""
        command = event.message.command_set
        field = command.get("CommandField")
        if field == C_CANCEL_RQ:
            with self._lock:
                ids = self._ids.setdefault(event.assoc, {})
                ids[int(command.get("MessageIDBeingRespondedTo") or 0)] = None
                if len(ids) > _MOST_CANCELS:
                    del ids[next(iter(ids))]
        elif field in _CANCELLABLE:
            with self._lock:
                self._ids.get(event.assoc, {}).pop(int(command.get("MessageID") or 0), None)

    def __contains__(self, key: tuple[Association, int]) -> bool:
        return key[1] in self._ids.get(key[0], {})


class Notifications:
    """Gets the answers to our N-EVENT-REPORTs on associations that peers have opened."""

    def __init__(self) -> None:
        self._expected: dict[tuple[int, int], list[int]] = {}
        self._last = 0
        self._lock = threading.Lock()

    def seen(self, event: Event) -> None:
        """Handle pynetdicom's EVT_DIMSE_RECV."""
        command = event.message.command_set
        if command.get("CommandField") != N_EVENT_REPORT_RQ | RESPONSE:
            return
        key = (id(event.assoc), int(command.get("MessageIDBeingRespondedTo") or 0))
        with self._lock:
            if key in self._expected:
                self._expected[key].append(int(command.get("Status") or 0))

    @contextmanager
    def expected(self, association: Association) -> Iterator[tuple[int, list[int]]]:
        """Give a new Message ID, and the list that gets the status when the answer arrives."""
        with self._lock:
            self._last = self._last % 0xFFFF + 1
            key = (id(association), self._last)
            answered = self._expected[key] = []
        try:
            yield self._last, answered
        finally:
            with self._lock:
                del self._expected[key]
