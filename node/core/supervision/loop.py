"""A thread that repeats one step, and that no exception ends."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from node.core.errors import Retryable, error_reference, traced
from node.core.fault_points import fault_point
from node.core.supervision.heartbeat import HEARTBEATS, LATE_SECONDS, Heartbeat

_BEAT_SECONDS: Final = 1.0  # between heartbeats of an idle loop
_FIRST_PAUSE_SECONDS: Final = 0.5  # after a failed step; doubled after each further failure
_LONGEST_PAUSE_SECONDS: Final = 5.0  # up to this
_LOGGED_AGAIN_SECONDS: Final = 60.0  # after this the same failure is logged again

log = logging.getLogger(__name__)


class Loop:
    """A guarded thread with a heartbeat.

    An exception of a step is logged, once for each kind and with a reference, without its text,
    which may quote a data set; then the loop goes on. After a `Retryable` error the loop is in
    trouble but alive. After any other error it counts as late until a step succeeds.

    Args:
        name: name of the thread, for the log.
        step: does the work of one step; returns the seconds to rest unless the loop is woken.
        limit: seconds that a step may take.
        vital: whether the node has to be restarted if the loop stays late.
        pace: smallest number of seconds between two steps, even if the loop is woken.
        woken: event that wakes the loop; None: only `wake` does.
        failed: called with the exception of a step, before the pause.
        niceness: of the thread alone; the larger, the more other threads come first (nice(2)).
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], float],
        *,
        limit: float = LATE_SECONDS,
        vital: bool = True,
        pace: float = 0.0,
        woken: threading.Event | None = None,
        failed: Callable[[BaseException], None] = lambda _error: None,
        niceness: int = 0,
    ) -> None:
        self._step = step
        self._niceness = niceness
        self._failed = failed
        self._pace = pace
        self._point = f"loop {name}"
        self.heartbeat = Heartbeat(name, limit, vital=vital)
        self._stopping = threading.Event()
        self._woken = woken or threading.Event()
        self._failures = 0
        self._logged: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def stopping(self) -> bool:
        """Whether the loop has been asked to stop."""
        return self._stopping.is_set()

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self.heartbeat.beat()
        HEARTBEATS.add(self.heartbeat)
        self._thread.start()

    def wake(self) -> None:
        """End the rest, as there is work to do."""
        self._woken.set()

    def ask_to_stop(self) -> None:
        """Make no further step."""
        self._stopping.set()
        self._woken.set()
        HEARTBEATS.remove(self.heartbeat)

    def stop(self, timeout: float) -> None:
        """Make no further step, and wait at most `timeout` seconds for the current one."""
        self.ask_to_stop()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def _run(self) -> None:
        if self._niceness:
            with suppress(OSError):  # in Linux this is of one thread (setpriority(2))
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._niceness)
        while not self._stopping.is_set():
            self._woken.clear()
            rest, well = self._guarded()
            if self._pace:
                self._stopping.wait(self._pace)
            if not well:  # after a failure, waking must not shorten the pause
                self._stopping.wait(rest)
                continue
            until = time.monotonic() + rest - self._pace
            while not self._stopping.is_set() and (left := until - time.monotonic()) > 0:
                woken = self._woken.wait(min(left, _BEAT_SECONDS))
                self.heartbeat.beat()
                if woken:
                    break

    def _guarded(self) -> tuple[float, bool]:
        """Make a step; return the seconds to rest, and whether the step succeeded."""
        try:
            fault_point(self._point)
            rest = self._step()
        except Retryable as error:
            self.heartbeat.beat()
            self.heartbeat.troubled(str(error))
            self._log(str(error), "%s cannot work now and tries again: %s", error)
            self._after(error)
            return self._pause(), False
        except BaseException as error:  # noqa: BLE001  not even SystemExit of a library ends it
            place = error_reference(error)
            self.heartbeat.troubled(f"{type(error).__name__}, reference {place} in the log")
            self._log(
                place,
                f"%s had an unexpected error and goes on (reference {place}): %s",
                traced(error),
            )
            self._after(error)
            return self._pause(), False
        self._failures = 0
        self.heartbeat.well()
        return rest, True

    def _after(self, error: BaseException) -> None:
        try:
            self._failed(error)
        except Exception as another:  # noqa: BLE001  the guard must not raise
            log.error("%s: %s", self.heartbeat.name, traced(another))

    def _pause(self) -> float:
        self._failures += 1
        return min(
            _FIRST_PAUSE_SECONDS * 2.0 ** min(self._failures - 1, 10), _LONGEST_PAUSE_SECONDS
        )

    def _log(self, kind: str, message: str, why: object) -> None:
        """Log a failure, unless one of its kind was logged recently."""
        now = time.monotonic()
        if now - self._logged.get(kind, -_LOGGED_AGAIN_SECONDS) < _LOGGED_AGAIN_SECONDS:
            return
        if len(self._logged) >= 64:
            self._logged.clear()
        self._logged[kind] = now
        log.error(message, self.heartbeat.name, why)
