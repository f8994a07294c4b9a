"""The watchdog is fed while everything vital is fresh, and says once what is late."""

from __future__ import annotations

import logging

import pytest

from node.core.supervision import LoopState, Watchdog


def test_what_is_late_and_vital_keeps_the_watchdog_hungry(caplog: pytest.LogCaptureFixture) -> None:
    ages = {"watcher": 1.0, "deliveries to hook": 1.0}
    fed: list[None] = []

    def signs() -> list[LoopState]:
        return [LoopState(name, age, 6.0, name == "watcher") for name, age in ages.items()]

    watchdog = Watchdog(lambda: fed.append(None), signs)
    with caplog.at_level(logging.INFO):
        watchdog.look()
        assert len(fed) == 1
        ages["deliveries to hook"] = 9.0
        watchdog.look()
        assert len(fed) == 2  # no reason to restart a node that receives
        ages["watcher"] = 9.0
        watchdog.look()
        watchdog.look()
        assert len(fed) == 2
        ages.update({"watcher": 0.1, "deliveries to hook": 0.1})
        watchdog.look()
        assert len(fed) == 3
    assert [one.getMessage() for one in caplog.records] == [
        "deliveries to hook has not finished a step for 9 s",
        "watcher has not finished a step for 9 s",
        "deliveries to hook goes on",
        "watcher goes on",
    ]
