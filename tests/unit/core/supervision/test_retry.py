"""How long to wait before the next attempt."""

from __future__ import annotations

from node.core.supervision.retry import backoff


def test_waits_grow_by_the_factor_and_stop_at_the_longest() -> None:
    seconds = backoff(1.0, 5, 60.0)
    assert [seconds(failures) for failures in (1, 2, 3, 4, 5, 10_000)] == [1, 5, 25, 60, 60, 60]
    assert [backoff(0.1, 2, 30.0)(failures) for failures in (1, 2, 3)] == [0.1, 0.2, 0.4]
