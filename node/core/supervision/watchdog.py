"""Feeds systemd's watchdog while the node can do its work."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from node.core.supervision.heartbeat import HEARTBEATS, LoopState

log = logging.getLogger(__name__)


class Watchdog:
    """Logs which loops become late and which recover, and feeds the watchdog.

    Args:
        feed: tells systemd that the node works.
        signs: returns the states of all loops of the node.
    """

    def __init__(
        self, feed: Callable[[], object], signs: Callable[[], Sequence[LoopState]] = HEARTBEATS.all
    ) -> None:
        self._feed = feed
        self._signs = signs
        self._late: set[str] = set()

    def look(self) -> None:
        """Check all loops; call it every few seconds."""
        late = [sign for sign in self._signs() if sign.late]
        if not any(sign.vital for sign in late):
            self._feed()
        names = {sign.name for sign in late}
        for sign in late:
            if sign.name not in self._late:
                log.error("%s %s", sign.name, sign.fault)
        for name in sorted(self._late - names):
            log.info("%s goes on", name)
        self._late = names
