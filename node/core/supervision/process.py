"""Supervision of a process of the node: it is killed if it hangs, and replaced if it ends."""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import IO, Final, Protocol

from node.core.supervision.heartbeat import HEARTBEATS, LATE_SECONDS, LoopState
from node.core.supervision.heartbeat_report import LIFE, read_life
from node.core.supervision.loop import Loop
from node.core.supervision.retry import backoff

log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 0.5
_SILENT_SECONDS: Final = 5.0
"""A process that writes nothing for so long is stopped or hangs: it is killed."""
_LOADING_SECONDS: Final = 60.0  # until a process that was started writes its first line
_HUNG_SECONDS: Final = 30.0
"""A process is killed if one of its vital loops has been late for so long."""
_pause: Final = backoff(first=0.2, factor=2.0, longest=30.0)  # s before it is started again
_STEADY_SECONDS: Final = 60.0  # a process that lived for so long has not failed in a row
_MOST_LINE: Final = 1 << 20


class Process(Protocol):
    """As much of `subprocess.Popen` as is needed."""

    pid: int

    @property
    def stdin(self) -> IO[bytes] | None:
        """The pipe to its stdin; None if it has none."""

    @property
    def stdout(self) -> IO[bytes] | None:
        """The pipe from its stdout."""

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""

    def wait(self, timeout: float = ...) -> int:
        """Its exit code, once it has ended."""

    def kill(self) -> None:
        """Kill it at once."""


class SupervisedProcess:
    """One process, which is replaced when it ends unexpectedly.

    Args:
        name: for people and the log.
        first: the process, started.
        again: starts another one in its place.
        heard: called with each line that it writes to stdout, but for its heartbeats.
        vital: whether the node has to be restarted if the process cannot be kept running.

    Attributes:
        process: the one that runs, or ran last.
        deaths: how many of them ended unexpectedly.
    """

    def __init__(
        self,
        name: str,
        first: Process,
        again: Callable[[], Process],
        heard: Callable[[bytes], None],
        *,
        vital: bool = True,
    ) -> None:
        self.name = name
        self._vital = vital
        self.process = first
        self._again = again
        self._heard = heard
        self._stopping = threading.Event()
        self._rest = b""  # a line that is not complete yet
        self._born = time.monotonic()
        self._silent = 0.0  # seconds of waiting for a line in vain
        self._spoken = False
        self.deaths = 0
        self._failures = 0  # deaths in a row
        self._start_at: float | None = None  # when the next one is started; None: one runs
        self._loop = Loop(f"supervisor of {name}", self._step)

    def start(self) -> None:
        """Begin to supervise it."""
        self._expect()
        self._loop.start()

    def send(self, line: bytes) -> None:
        """Write a line to its stdin; nothing happens if it has died."""
        pipe = self.process.stdin
        if pipe is not None:
            with suppress(OSError):
                pipe.write(line)
                pipe.flush()

    def close_input(self) -> None:
        """Close the pipe to its stdin, by which it is told to end."""
        pipe = self.process.stdin
        if pipe is not None:
            with suppress(OSError):
                pipe.close()

    def expect_end(self) -> None:
        """From now on its end is expected."""
        self._stopping.set()
        HEARTBEATS.forget(self.name)

    def stop(self, timeout: float) -> None:
        """Wait until it has ended and its output was read; kill it after `timeout` seconds."""
        self.expect_end()
        deadline = time.monotonic() + timeout
        while self._loop.alive and not self._loop.stopping and time.monotonic() < deadline:
            time.sleep(0.01)
        self._loop.stop(max(0.1, deadline - time.monotonic()))
        if self.process.poll() is None:
            self.process.kill()

    def _expect(self) -> None:
        """Count its heartbeat from now."""
        HEARTBEATS.report(self.name, [LoopState(self.name, 0.0, LATE_SECONDS, vital=self._vital)])
        self._born = time.monotonic()
        self._silent, self._spoken, self._rest = 0.0, False, b""

    def _step(self) -> float:
        if self._start_at is not None:
            return self._wait_and_start()
        code = self.process.poll()  # before its output is read, so that its last line is
        heard = self._listen()
        if code is not None and not heard:
            self._gone(code)
        elif code is None and not self._stopping.is_set():
            self._end_if_it_hangs()
        return 0.0

    def _listen(self) -> bool:
        """Read what it wrote; whether there was anything."""
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
            # The time really waited: a machine that was suspended has not been waiting.
            self._silent += min(time.monotonic() - began, _LOOK_SECONDS)
            if ready:  # it closed its stdout and will end
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
        own = LoopState(self.name, 0.0, LATE_SECONDS, vital=self._vital)
        reported = [replace(sign, vital=sign.vital and self._vital) for sign in signs]
        HEARTBEATS.report(self.name, [own, *reported])
        for sign in signs:
            if sign.vital and sign.age > sign.limit + _HUNG_SECONDS:
                log.error(
                    "the node kills the process %s and starts it again: its loop %r has not "
                    "finished a step for %.0f s",
                    self.name,
                    sign.name,
                    sign.age,
                )
                self.process.kill()
                return

    def _end_if_it_hangs(self) -> None:
        most = _SILENT_SECONDS if self._spoken else _LOADING_SECONDS
        if self._silent > most:
            log.error(
                "the node kills the process %s and starts it again: it does not respond", self.name
            )
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
            self._failures = 0
        self.deaths += 1
        self._failures += 1
        pause = _pause(self._failures)
        self._start_at = time.monotonic() + pause
        log.error(
            "the process %s died (exit code %d); the node starts it again in %.1f s",
            self.name,
            code,
            pause,
        )

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
