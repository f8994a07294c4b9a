"""The filer gives way, and stops giving way when it falls behind."""

from __future__ import annotations

import os

import pytest

from node.filing import priority
from node.filing.priority import Priority


@pytest.fixture
def policies(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the scheduler is told, without telling it."""
    told: list[int] = []
    monkeypatch.setattr(os, "sched_setscheduler", lambda _who, policy, _param: told.append(policy))
    return told


def test_it_is_idle_until_it_is_behind_for_long(
    policies: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(priority.time, "monotonic", lambda: now)
    made = Priority()
    assert policies == [os.SCHED_IDLE, os.SCHED_OTHER, os.SCHED_IDLE]  # tried, then done
    policies.clear()
    made.breathe()
    assert policies == []
    now += 0.6
    made.breathe()
    made.breathe()
    assert policies == [os.SCHED_OTHER]
    made.caught_up()
    made.caught_up()
    made.breathe()
    assert policies == [os.SCHED_OTHER, os.SCHED_IDLE]


def test_who_could_not_come_back_does_not_go(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []

    def without_privilege(_who: int, policy: int, _param: os.sched_param) -> None:
        told.append(policy)
        if policy == os.SCHED_OTHER:
            raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", without_privilege)
    made = Priority()
    made.caught_up()
    made.breathe()
    assert told == [os.SCHED_IDLE, os.SCHED_OTHER]  # by a thread that has ended
