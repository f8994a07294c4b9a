"""Hashes are the same whoever makes them, and nobody is waited for who does not come to it."""

from __future__ import annotations

import hashlib
import threading

import pytest

from node.storage.ingest import hashing
from node.storage.ingest.hashing import Hashing
from tests.running import eventually

DATA = [bytes([number]) * size for number, size in enumerate((5, 100_000, 300_000, 7, 65_536))]
WANTED = [hashlib.sha256(data).hexdigest() for data in DATA]


def test_each_data_set_has_its_own() -> None:
    made = Hashing()
    for _ in range(3):
        with made.ahead(DATA) as hashes:
            assert [one() for one in hashes] == WANTED
        with made.ahead(DATA) as hashes:
            assert [one() for one in reversed(hashes)] == WANTED[::-1]
            assert [one() for one in hashes] == WANTED  # of what is ingested once more
    with made.ahead([]) as hashes:
        assert hashes == []


def test_another_thread_helps_with_large_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    makers: list[threading.Thread] = []

    def sha256_of(data: bytes) -> str:
        makers.append(threading.current_thread())
        return hashlib.sha256(data).hexdigest()

    monkeypatch.setattr(hashing, "sha256_of", sha256_of)
    made = Hashing()
    with made.ahead(DATA[3:4] * 3) as hashes:
        assert makers == []
        assert [one() for one in hashes] == WANTED[3:4] * 3
    assert set(makers) == {threading.current_thread()}
    makers.clear()
    with made.ahead(DATA[1:3]) as hashes:
        eventually(lambda: len(makers) == 1, 10, "the second one is being hashed")
        assert [one() for one in hashes] == WANTED[1:3]
    assert len(set(makers)) == 2


def test_who_does_not_come_to_it_is_not_waited_for() -> None:
    hold, there = threading.Event(), threading.Event()

    def busy() -> None:
        hold.wait(10.0)
        there.set()

    made = Hashing()
    made._helper.submit(busy)
    try:
        with made.ahead(DATA) as hashes:
            assert [one() for one in hashes] == WANTED
        assert not there.is_set()
    finally:
        hold.set()


def test_nobody_looks_at_a_data_set_afterwards() -> None:
    views = [memoryview(bytearray(8 << 20)) for _ in range(4)]
    with pytest.raises(ValueError, match="the disk is full"), Hashing().ahead(views):
        raise ValueError("the disk is full")
    for view in views:
        view.release()  # or a BufferError: it is in use
