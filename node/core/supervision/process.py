"""A process of the node under supervision: heard, ended if it hangs, started again if it ends."""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Final, Protocol

from node.core.supervision.heartbeat import HEARTBEATS, LATE_SECONDS, LoopState
from node.core.supervision.heartbeat_report import LIFE, read_life
from node.core.supervision.loop import Loop

log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 0.5
_SILENT_SECONDS: Final = 5.0
"""A process that lives and says nothing for so long is stopped or hangs as a whole: it is ended."""
_LOADING_SECONDS: Final = 60.0  # until one that has been started says the first word
_HUNG_SECONDS: Final = 30.0
"""A vital loop of a process that is late for so long does not come back: the process is ended."""
_FIRST_PAUSE_SECONDS: Final = 0.2  # before it is started again; doubled each time in a row,
_LONGEST_PAUSE_SECONDS: Final = 30.0  # up to this
_STEADY_SECONDS: Final = 60.0  # it has to live for so long to be started at once the next time
_MOST_LINE: Final = 1 << 20


class Process(Protocol):
    """As much of `subprocess.Popen` as is needed."""

    pid: int

    @property
    def stdin(self) -> IO[bytes] | None:
        """Where it is told something."""

    @property
    def stdout(self) -> IO[bytes] | None:
        """What it says."""

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""

    def wait(self, timeout: float = ...) -> int:
        """Its exit code, once it has ended."""

    def kill(self) -> None:
        """End it at once."""


class SupervisedProcess:
    """One process, and whoever takes its place.

    Args:
        name: for people, as in "the ingester".
        first: the process as it was started.
        again: starts another in its place.
        heard: called with each line that it says, but for its heartbeats.

    Attributes:
        process: the one that runs, or was the last to.
        deaths: how many of them ended although they should not have.
    """

    def __init__(
        self,
        name: str,
        first: Process,
        again: Callable[[], Process],
        heard: Callable[[bytes], None],
    ) -> None:
        self.name = name
        self.process = first
        self._again = again
        self._heard = heard
        self._stopping = threading.Event()
        self._rest = b""
        self._born = time.monotonic()
        self._silent = 0.0  # seconds that were waited for a word in vain
        self._spoken = False
        self.deaths = 0  # that were not expected
        self._ended = 0  # times in a row
        self._start_at: float | None = None  # there is none, and the next one is started then
        self._loop = Loop(f"supervisor of {name}", self._step)

    def start(self) -> None:
        """Begin to listen and to watch."""
        self._expect()
        self._loop.start()

    def expect_end(self) -> None:
        """From now on it ends because it should."""
        self._stopping.set()
        HEARTBEATS.forget(self.name)

    def stop(self, timeout: float) -> None:
        """Watch no longer, once everything that it said has been heard; the process is ended."""
        self.expect_end()
        deadline = time.monotonic() + timeout
        while self._loop.alive and not self._loop.stopping and time.monotonic() < deadline:
            time.sleep(0.01)
        self._loop.stop(max(0.1, deadline - time.monotonic()))
        if self.process.poll() is None:
            self.process.kill()

    def _expect(self) -> None:
        """Its heartbeat begins with its start."""
        HEARTBEATS.report(self.name, [LoopState(self.name, 0.0, LATE_SECONDS, vital=True)])
        self._born = time.monotonic()
        self._silent, self._spoken, self._rest = 0.0, False, b""

    def _step(self) -> float:
        if self._start_at is not None:
            return self._wait_and_start()
        code = self.process.poll()  # before it is listened to, so that its last word is heard
        heard = self._listen()
        if code is not None and not heard:
            self._gone(code)
        elif code is None and not self._stopping.is_set():
            self._end_if_it_hangs()
        return 0.0

    def _listen(self) -> bool:
        """Whether there was anything to be heard."""
        output = self.process.stdout
        if output is None or output.closed:
            time.sleep(_LOOK_SECONDS)
            return False
        began = time.monotonic()
        poll = select.poll()
        poll.register(output, select.POLLIN)
        ready = poll.poll(_LOOK_SECONDS * 1000)
        said = os.read(output.fileno(), 65536) if ready else b""
        if not said:
            # What it was really waited for: a machine that was asleep has not been listening.
            self._silent += min(time.monotonic() - began, _LOOK_SECONDS)
            if ready:  # it has closed its stdout, and will end
                time.sleep(0.01)
            return False
        self._silent = 0.0
        *lines, self._rest = (self._rest + said).split(b"\n")
        if len(self._rest) > _MOST_LINE:
            self._rest = b""
        for line in lines:
            if line.startswith(LIFE):
                self._alive(read_life(line))
            else:
                self._heard(line)
        return True

    def _alive(self, signs: list[LoopState]) -> None:
        self._spoken = True
        if self._stopping.is_set():
            return
        own = LoopState(self.name, 0.0, LATE_SECONDS, vital=True)
        HEARTBEATS.report(self.name, [own, *signs])
        for sign in signs:
            if sign.vital and sign.age > sign.limit + _HUNG_SECONDS:
                log.error(
                    "%s is ended: its loop %r has not finished a step for %.0f s",
                    self.name,
                    sign.name,
                    sign.age,
                )
                self.process.kill()
                return

    def _end_if_it_hangs(self) -> None:
        most = _SILENT_SECONDS if self._spoken else _LOADING_SECONDS
        if self._silent > most:
            log.error("%s says nothing any more and is ended", self.name)
            self._silent = 0.0
            self.process.kill()

    def _gone(self, code: int) -> None:
        output = self.process.stdout
        if output is not None:
            with suppress(OSError):
                output.close()
        if self._stopping.is_set():
            self._loop.ask_to_stop()
            return
        if time.monotonic() - self._born > _STEADY_SECONDS:
            self._ended = 0
        self.deaths += 1
        self._ended += 1
        pause = min(_FIRST_PAUSE_SECONDS * 2.0 ** min(self._ended - 1, 16), _LONGEST_PAUSE_SECONDS)
        self._start_at = time.monotonic() + pause
        log.error("%s died (%d) and is started again in %.1f s", self.name, code, pause)

    def _wait_and_start(self) -> float:
        assert self._start_at is not None  # noqa: S101
        if self._stopping.is_set():
            self._loop.ask_to_stop()
            return 0.0
        left = self._start_at - time.monotonic()
        if left > 0:
            return min(left, _LOOK_SECONDS)
        self.process = self._again()
        self._start_at = None
        self._expect()
        return 0.0
