"""The audit log: who looked at what and did what, without patient identifiers."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final

from node.core.plain_text import plain
from node.web.roles import Identity

log = logging.getLogger("node.audit")

AGAIN_SECONDS: Final = 600.0
"""Looking at the same again is not written again for so long: a page asks again and again."""
_MOST: Final = 10_000
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})

Seen = tuple[str, str, str, int]


class Audit:
    """Writes the audit log. Safe for threads.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: OrderedDict[Seen, float] = OrderedDict()

    def request(
        self,
        identity: Identity | None,
        method: str,
        template: str,
        params: Mapping[str, Any],
        status: int,
    ) -> None:
        """Write who sent a request, unless it only repeats an earlier look.

        Args:
            identity: who; None: nobody who is known.
            method: of HTTP.
            template: path of the route with names in place of values; empty: there is no route.
            params: the values; of them the log has the UID of the series alone.
            status: of the answer.
        """
        if identity is None and not template:
            return  # somebody looks for pages that are not there
        name, role = (identity.name, str(identity.role)) if identity else ("", "nobody")
        # What nobody asks for is no name of a series, and must not fill the log.
        uid = plain(params.get("uid", ""))[:80] if identity else ""
        repeats = method in _READING or identity is None
        if repeats and self._is_repeated((name, f"{method} {template}", uid, status)):
            return
        log.info(
            "%s (%s) %s %s%s: %d",
            name or "-",
            role,
            method,
            template or "(no such route)",
            f" {uid}" if uid else "",
            status,
            extra={
                "user": name,
                "role": role,
                "route": f"{method} {template}",
                "series": uid,
                "status": status,
            },
        )

    def login(self, name: str, address: str, outcome: str) -> None:
        """Write a login or its refusal.

        Args:
            name: of a user who is known; else empty, as people type passwords as names.
            address: where it came from.
            outcome: what became of it.
        """
        log.info(
            "%s from %s: %s", name or "a name that is not known", plain(address), outcome,
            extra={"user": name, "address": plain(address)},
        )  # fmt: skip

    def _is_repeated(self, seen: Seen) -> bool:
        with self._lock:
            now = self._clock()
            written = self._seen.pop(seen, None)
            if written is not None and now - written < AGAIN_SECONDS:
                self._seen[seen] = written
                return True
            self._seen[seen] = now
            while len(self._seen) > _MOST:
                self._seen.popitem(last=False)
        return False
