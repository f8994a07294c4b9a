"""Senders' habits, learned from the index and used; recordings replayed from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.completion.decision import Timing
from node.completion.silences import FEWEST_SERIES, Gap
from node.lifecycle.replay import Replayer
from node.lifecycle.sender_statistics import SenderStatistics
from node.storage.index.series.recorded_arrivals import Recordings
from tests.simulator.bench import Bench
from tests.unit.completion.builders import stack

SLOW = 8.0  # seconds between two associations of one series


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.index.close()


def send_in_two(bench: Bench, uid: str, ae: str, pause: float) -> None:
    whole = [item._replace(uid=f"{uid}.{item.number}") for item in stack(4)]
    for part in (whole[:2], whole[2:]):
        association = bench.open(ae)
        bench.send(association, part, uid)
        bench.now += 0.5
        bench.end(association)
        bench.now += pause


def sender_statistics(bench: Bench, *, learned: bool = True) -> SenderStatistics:
    return SenderStatistics(
        Recordings(bench.index), Timing(), learned=learned, clock=lambda: bench.now
    )


def test_a_slow_sender_is_waited_for_longer_and_a_quick_one_is_not(bench: Bench) -> None:
    for number in range(FEWEST_SERIES):
        send_in_two(bench, f"1.5.{number}", "SLOW", SLOW)
        send_in_two(bench, f"1.6.{number}", "QUICK", 0.4)
    send_in_two(bench, "1.7", "RARE", 100.0)
    known = sender_statistics(bench)
    known.learn()
    assert known.timing(["SLOW"]).quiet == pytest.approx(1.5 * SLOW)
    assert known.timing(["QUICK"]).quiet == 1.0
    assert known.timing(["RARE"]).quiet == 5.0
    assert known.timing(["QUICK", "SLOW"]).quiet == pytest.approx(1.5 * SLOW)
    assert known.timing([]).quiet == 5.0

    again = sender_statistics(bench)
    again.start()
    again.stop()
    assert again.timing(["SLOW"]).quiet == pytest.approx(1.5 * SLOW)
    assert sender_statistics(bench, learned=False).timing(["SLOW"]).quiet == 5.0
    assert Recordings(bench.index).learned()["SLOW", Gap.RELEASED].samples == FEWEST_SERIES


def test_replaying_the_index(bench: Bench) -> None:
    send_in_two(bench, "1.5", "SLOW", SLOW)
    send_in_two(bench, "1.6", "QUICK", 0.4)
    replayer = Replayer(bench.work, Recordings(bench.index), bench.statements)
    short, long = replayer.compare([Timing(quiet=5.0), Timing(quiet=10.0)], None, 0.0, 100)
    assert short.cut == ("1.5",)
    assert long.cut == ()
    assert long.longest_delay == pytest.approx(10.5)
    (quick,) = replayer.compare([Timing()], "QUICK", 0.0, 100)
    assert [outcome.uid for outcome in quick.outcomes] == ["1.6"]
    assert replayer.compare([Timing()], None, bench.now + 1, 100)[0].outcomes == ()
