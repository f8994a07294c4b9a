"""A log that repeats the same error at most every ten seconds."""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

_SECONDS: Final = 10.0


class RateLimitedLog:
    """Logs errors, each kind at most every ten seconds."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._logged: dict[str, float] = {}
        self._lock = threading.Lock()

    def say(self, kind: str, sentence: str) -> None:
        """Log an error, unless one of the same kind was logged within ten seconds.

        Args:
            kind: errors of one kind count as the same.
            sentence: the text.
        """
        now = time.monotonic()
        with self._lock:
            if now - self._logged.get(kind, -_SECONDS) < _SECONDS:
                return
            self._logged[kind] = now
        self._log.error("%s", sentence)
