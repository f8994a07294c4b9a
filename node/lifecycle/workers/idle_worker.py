"""A process for work that can wait, such as precompression."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from functools import partial

from node.lifecycle.workers.process_slot import (
    JOBS_PER_PROCESS,
    ProcessSlot,
    prepare_idle_process,
)
from node.lifecycle.workers.watch import Watched, WorkerWatch


class IdleWorker:
    """A process that works only while processors are idle; it is started when it is needed.

    Args:
        memory: bytes that it may have as data (RLIMIT_DATA); None: no limit.
    """

    def __init__(self, memory: int | None = None) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._prepare = partial(prepare_idle_process, memory)
        self._slot: ProcessSlot | None = None
        self._last: Future[int] | None = None
        self._watch: WorkerWatch | None = None

    def submit(self, function: Callable[..., int], *args: object) -> Future[int]:
        """Start a function; its future fails with `BrokenExecutor` if the process dies."""
        slot = self._slot
        if slot is None or slot.jobs >= JOBS_PER_PROCESS:
            slot = self._new_slot()
        try:
            self._last = slot.submit(function, *args)
        except BrokenExecutor:  # the process died earlier
            self._last = self._new_slot().submit(function, *args)
        return self._last

    def close(self) -> None:
        """End the process at once."""
        if self._watch is not None:
            self._watch.stop()
        if self._slot is not None:
            self._slot.kill()
            self._slot = None

    def _new_slot(self) -> ProcessSlot:
        if self._watch is None:
            self._watch = WorkerWatch("idle worker", self._slots)
            self._watch.start()
        if self._slot is not None:
            self._slot.retire()
        self._slot = ProcessSlot(self._context, self._prepare)
        return self._slot

    def _slots(self) -> list[tuple[Watched, bool]]:
        slot, last = self._slot, self._last
        return [] if slot is None else [(slot, last is not None and not last.done())]
