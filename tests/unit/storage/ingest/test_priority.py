"""The ingester gives way, and stops giving way when it falls behind."""

from __future__ import annotations

import os
import threading
import time

import pytest

from node.storage.ingest import priority
from node.storage.ingest.priority import Priority
from tests.running import eventually

PATIENCE = 0.1  # s


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is patient for long."""
    monkeypatch.setattr(priority, "_BEHIND_SECONDS", PATIENCE)


@pytest.fixture
def policies(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What the scheduler is told of which thread, without telling it."""
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(
        os, "sched_setscheduler", lambda thread, policy, _param: told.append((thread, policy))
    )
    return told


def test_it_is_idle_until_it_is_behind_for_long(policies: list[tuple[int, int]]) -> None:
    here = threading.get_native_id()
    made = Priority()
    assert policies == [(0, os.SCHED_IDLE), (0, os.SCHED_OTHER)]  # tried
    policies.clear()
    made.give_way()
    time.sleep(2 * PATIENCE)
    assert policies == []  # it is as urgent as others before it has caught up once
    made.idle()
    made.idle()
    assert policies == [(here, os.SCHED_IDLE)]
    time.sleep(2 * PATIENCE)
    made.give_way()
    assert policies == [(here, os.SCHED_IDLE)]
    eventually(lambda: len(policies) == 2, 10, "another thread sees that it does not go on")
    assert policies[1:] == [(here, os.SCHED_OTHER)]
    made.idle()
    made.give_way()
    made.idle()
    time.sleep(2 * PATIENCE)
    assert policies[2:] == [(here, os.SCHED_IDLE)]


def test_it_waits_while_receivers_have_much_to_take_in() -> None:
    started = time.monotonic()
    made = Priority(lambda _now: started)
    made.give_way()
    assert time.monotonic() - started >= 0.01
    made = Priority(lambda now: now)  # more and more comes
    started = time.monotonic()
    made.give_way()
    assert time.monotonic() - started >= PATIENCE
    started = time.monotonic()
    for _ in range(100):
        made.give_way()
    assert time.monotonic() - started < 0.5  # it is behind, or this would have taken a second


def test_who_could_not_come_back_does_not_go(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []

    def without_privilege(_who: int, policy: int, _param: os.sched_param) -> None:
        told.append(policy)
        if policy == os.SCHED_OTHER:
            raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", without_privilege)
    made = Priority()
    made.idle()
    made.give_way()
    assert told == [os.SCHED_IDLE, os.SCHED_OTHER]  # by a thread that has ended
