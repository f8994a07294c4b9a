"""One line for a trouble that lasts, not one for each instance that it meets."""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

_SECONDS: Final = 10.0


class RateLimitedLog:
    """Logs errors, the same one at most every ten seconds."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._said: dict[str, float] = {}
        self._lock = threading.Lock()

    def say(self, kind: str, sentence: str) -> None:
        """Complain.

        Args:
            kind: what makes two complaints the same.
        """
        now = time.monotonic()
        with self._lock:
            if now - self._said.get(kind, -_SECONDS) < _SECONDS:
                return
            self._said[kind] = now
        self._log.error("%s", sentence)
