"""Worker processes that were stopped or hang are ended, so that their series can be tried again."""

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

_LOOK_SECONDS: Final = 1.0
_STOPPED_LOOKS: Final = 3  # in a row at which a process is stopped, before it is ended
_IDLE_LOOKS: Final = 20
"""In a row at which a process that has a job sleeps and has used no processor, before it is ended.
A process that waits for a disk, or for one of its children that works, does not count as asleep."""


class Watched(Protocol):
    """A worker process."""

    @property
    def pid(self) -> int | None:
        """Its ID; None until it has started."""

    def kill(self) -> None:
        """End it at once."""


class WorkerWatch:
    """Looks at worker processes once a second.

    Args:
        name: of the watch, for people.
        workers: the processes at the moment, and whether each has a job.
    """

    def __init__(self, name: str, workers: Callable[[], Sequence[tuple[Watched, bool]]]) -> None:
        self._workers = workers
        self._seen: WeakKeyDictionary[Watched, _Seen] = WeakKeyDictionary()
        self._fork_server_stopped = 0
        self._loop = Loop(name, self._look)

    def start(self) -> None:
        """Begin."""
        self._loop.start()

    def stop(self) -> None:
        """End."""
        self._loop.stop(_LOOK_SECONDS)

    def _look(self) -> float:
        for worker, busy in self._workers():
            done = activity(worker.pid) if worker.pid is not None else None
            if done is None:
                continue
            why = self._seen.setdefault(worker, _Seen()).fault(done, busy)
            if why is not None:
                log.error("an assembly worker (process %d) is ended: it %s", worker.pid, why)
                worker.kill()
        self._look_at_fork_server()
        return _LOOK_SECONDS

    def _look_at_fork_server(self) -> None:
        """Workers are started by it; Python starts another one if it has ended."""
        pid: int | None = getattr(getattr(forkserver, "_forkserver", None), "_forkserver_pid", None)
        done = activity(pid) if pid is not None else None
        if pid is None or done is None or not done.stopped:
            self._fork_server_stopped = 0
            return
        self._fork_server_stopped += 1
        if self._fork_server_stopped >= _STOPPED_LOOKS:
            log.error("the process that starts assembly workers is stopped and is ended")
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class _Seen:
    """What was seen of a worker, look after look."""

    def __init__(self) -> None:
        self._stopped = 0
        self._idle = 0
        self._ticks = -1

    def fault(self, done: Activity, busy: bool) -> str | None:
        """Why the worker has to be ended; None if it need not."""
        self._stopped = self._stopped + 1 if done.stopped else 0
        rests = busy and done.asleep and done.ticks == self._ticks
        self._idle = self._idle + 1 if rests else 0
        self._ticks = done.ticks
        if self._stopped >= _STOPPED_LOOKS:
            return "is stopped by a signal"
        if self._idle >= _IDLE_LOOKS:
            return f"has a job and has done nothing for {self._idle} s"
        return None
