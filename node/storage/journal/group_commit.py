"""Many senders, one sync: whoever comes first writes for all who wait."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from node.core.errors import Retryable

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Entry(Generic[Item, Result]):
    __slots__ = ("done", "error", "item", "result")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.done = False
        self.result: Result | None = None
        self.error: BaseException | None = None


class GroupCommit(Generic[Item, Result]):
    """Batches concurrent submissions into one durable write.

    Args:
        commit: makes a batch durable and returns one result an item, or raises and does nothing.
    """

    def __init__(self, commit: Callable[[Sequence[Item]], Sequence[Result]]) -> None:
        self._commit = commit
        self._queue: list[_Entry[Item, Result]] = []
        self._queue_lock = threading.Lock()
        self._leader = threading.Lock()

    def submit(self, item: Item) -> Result:
        """Return once `item` is durable.

        Raises:
            Whatever `commit` raised for it.
        """
        entry: _Entry[Item, Result] = _Entry(item)
        with self._queue_lock:
            self._queue.append(entry)
        with self._leader:
            if not entry.done:
                with self._queue_lock:
                    batch, self._queue = self._queue, []
                if batch:
                    self._write(batch)
        if entry.error is not None:
            raise entry.error
        if not entry.done:  # whoever wrote it did not come to an end
            raise Retryable("the write was cut off")
        return entry.result  # type: ignore[return-value]  # set with done

    def _write(self, batch: list[_Entry[Item, Result]]) -> None:
        try:
            results = self._commit([entry.item for entry in batch])
        except Retryable as error:
            for entry in batch:
                entry.error, entry.done = error, True
        except Exception as error:  # noqa: BLE001  it is raised again, to the submitter
            if len(batch) == 1:
                batch[0].error, batch[0].done = error, True
                return
            for entry in batch:  # one odd item must not fail the others
                self._write([entry])
        else:
            for entry, result in zip(batch, results, strict=True):
                entry.result, entry.done = result, True
