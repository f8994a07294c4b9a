"""Ends worker processes that are stopped or hang, so that their series are tried again."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import forkserver
from typing import Final, Protocol
from weakref import WeakKeyDictionary

from node.core.supervision import Loop
from node.core.system.machine import Activity, activity

log = logging.getLogger(__name__)

_CHECK_SECONDS: Final = 1.0
_MOST_STOPPED: Final = 3  # checks in a row that find a process stopped, before it is ended
_MOST_IDLE: Final = 20
"""Checks in a row that find a process with a job asleep and without processor time since the last,
before it is ended. A process that waits for a disk, or for a child that works, is not asleep."""


class Watched(Protocol):
    """A worker process."""

    @property
    def pid(self) -> int | None:
        """Its process ID; None until it has started."""

    def kill(self) -> None:
        """End it at once."""


class WorkerWatch:
    """Checks worker processes once a second.

    Args:
        name: of the loop, for people.
        workers: returns the processes, and whether each has a job.
    """

    def __init__(self, name: str, workers: Callable[[], Sequence[tuple[Watched, bool]]]) -> None:
        self._workers = workers
        self._histories: WeakKeyDictionary[Watched, _History] = WeakKeyDictionary()
        self._fork_server_stopped = 0
        self._loop = Loop(name, self._check)

    def start(self) -> None:
        """Start the loop."""
        self._loop.start()

    def stop(self) -> None:
        """Stop the loop."""
        self._loop.stop(_CHECK_SECONDS)

    def _check(self) -> float:
        for worker, busy in self._workers():
            done = activity(worker.pid) if worker.pid is not None else None
            if done is None:
                continue
            why = self._histories.setdefault(worker, _History()).fault(done, busy)
            if why is not None:
                log.error(
                    "assembly worker process %d %s; the node ends it and tries its series again",
                    worker.pid,
                    why,
                )
                worker.kill()
        self._check_fork_server()
        return _CHECK_SECONDS

    def _check_fork_server(self) -> None:
        """End the process that starts workers if it is stopped; Python starts another one."""
        pid: int | None = getattr(getattr(forkserver, "_forkserver", None), "_forkserver_pid", None)
        done = activity(pid) if pid is not None else None
        if pid is None or done is None or not done.stopped:
            self._fork_server_stopped = 0
            return
        self._fork_server_stopped += 1
        if self._fork_server_stopped >= _MOST_STOPPED:
            log.error("the process that starts assembly workers is stopped; the node ends it")
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class _History:
    """What the checks of one worker found."""

    def __init__(self) -> None:
        self._stopped = 0
        self._idle = 0
        self._ticks = -1

    def fault(self, done: Activity, busy: bool) -> str | None:
        """Record a check; why the worker has to be ended, None if it need not."""
        self._stopped = self._stopped + 1 if done.stopped else 0
        is_idle = busy and done.asleep and done.ticks == self._ticks
        self._idle = self._idle + 1 if is_idle else 0
        self._ticks = done.ticks
        if self._stopped >= _MOST_STOPPED:
            return "is stopped by a signal"
        if self._idle >= _MOST_IDLE:
            return f"has a job and has used no processor time for {self._idle} s"
        return None
