"""A clock that was ahead leaves nothing waiting for a moment that will not come."""

from __future__ import annotations

from pathlib import Path

from node.core.system.wall_clock import ClockWatch
from tests.simulator.bench import Bench
from tests.unit.completion.builders import stack

YEAR = 365 * 86400.0


def test_a_clock_that_is_set_back_is_noticed_for_a_while() -> None:
    wall, steady = 1000.0, 50.0
    watch = ClockWatch(lambda: wall, lambda: steady)
    assert watch.set_back()  # it may have been before the start
    assert not watch.set_back()
    steady, wall = steady + 120, wall + 120
    assert not watch.set_back()
    wall -= 3600
    assert watch.set_back()
    steady, wall = steady + 6, wall + 6
    assert watch.set_back()  # what was on its way
    steady, wall = steady + 120, wall + 120
    assert not watch.set_back()
    wall += 3600
    assert not watch.set_back()


def test_a_series_that_came_while_the_clock_was_ahead_is_judged_once_it_is_right(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path)
    bench.now += YEAR
    bench.deliver(stack(30))
    bench.run(1.0)
    bench.now -= YEAR
    bench.restart()
    bench.run(4.9)
    assert bench.state() == "receiving"  # as if its last instance had come now
    bench.run(1.0)
    assert bench.state() == "ready"


def test_what_waited_for_an_executor_in_the_future_is_assembled(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.deliver(stack(30))
    bench.run(5.1)
    assert bench.state() == "ready"
    assert bench.work.look_again(bench.series(), bench.now + YEAR)
    bench.restart()
    bench.run(1.0)
    due = bench.series().due
    assert due is None or due <= bench.now
