"""Many submissions share one write, and each gets its own answer."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from node.core.errors import Permanent, Retryable
from node.storage.journal.group_commit import GroupCommit


def test_those_who_wait_are_written_together() -> None:
    batches: list[int] = []
    first_is_writing, go_on = threading.Event(), threading.Event()

    def commit(items: Sequence[int]) -> list[int]:
        batches.append(len(items))
        first_is_writing.set()
        go_on.wait(10)
        return [item * 2 for item in items]

    group = GroupCommit[int, int](commit)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(group.submit, 1)
        first_is_writing.wait(10)
        others = [pool.submit(group.submit, n) for n in range(2, 10)]
        while len(group._queue) < 8:
            pass
        go_on.set()
        assert first.result(10) == 2
        assert [other.result(10) for other in others] == [n * 2 for n in range(2, 10)]
    assert batches == [1, 8]


def test_one_odd_item_fails_alone() -> None:
    def commit(items: Sequence[int]) -> list[int]:
        if 13 in items:
            raise Permanent("thirteen")
        return list(items)

    group = GroupCommit[int, int](commit)
    hold = group._leader
    hold.acquire()
    with ThreadPoolExecutor(3) as pool:
        futures = {n: pool.submit(group.submit, n) for n in (1, 13, 2)}
        while len(group._queue) < 3:
            pass
        hold.release()
        assert futures[1].result(10) == 1
        assert futures[2].result(10) == 2
        with pytest.raises(Permanent, match="thirteen"):
            futures[13].result(10)


def test_a_full_disk_is_told_to_everybody() -> None:
    def commit(items: Sequence[int]) -> list[int]:
        raise Retryable("full")

    with pytest.raises(Retryable, match="full"):
        GroupCommit[int, int](commit).submit(1)


def test_who_was_not_written_is_not_told_so() -> None:
    """Whoever writes for others may be cut off: by a signal, or an error in what it was told."""

    def commit(items: Sequence[int]) -> list[int]:
        raise KeyboardInterrupt

    group = GroupCommit[int, int](commit)
    hold = group._leader
    hold.acquire()
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(group.submit, n) for n in (1, 2)]
        while len(group._queue) < 2:
            pass
        hold.release()
        raised = sorted(type(one.exception(10)).__name__ for one in futures)
    assert raised == ["KeyboardInterrupt", "Retryable"]
