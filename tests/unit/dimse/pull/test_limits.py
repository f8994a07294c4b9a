"""How hard a peer is pressed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.core.fetch_limits import Rate
from node.dimse.pull.limits import Pace, PeerLimits

RETRIEVES = st.lists(
    st.tuples(st.integers(1, 50), st.integers(0, 50), st.floats(0.0, 30.0)), min_size=1, max_size=30
)


@given(RETRIEVES)
def test_the_average_stays_below_the_rate(retrieves: list[tuple[int, int, float]]) -> None:
    now = 100.0
    pace = Pace(Rate.parse("60/min"), clock=lambda: now)
    came = 0
    for expected, arrived, seconds in retrieves:
        place = pace.reserve(expected)
        now = max(now, place[0]) + seconds
        assert came <= now - 100.0 + 1e-6 or place[0] > 100.0
        pace.spent(place, arrived, arrived * 1000)
        came += arrived
    begin, _ = pace.reserve(1)
    assert begin >= 100.0 + came - 1e-6 or now >= 100.0 + came - 1e-6


def test_bytes_are_paced_by_what_came() -> None:
    pace = Pace(Rate.parse("1 MiB/s"), clock=lambda: 0.0)
    for number in range(5):
        place = pace.reserve(1)
        assert place[0] == float(number)
        pace.spent(place, 1, 1 << 20)


def test_a_peer_that_is_away_is_tried_by_one_and_ever_more_rarely() -> None:
    peer = PeerLimits()
    assert peer.room(4, 1, 0, 0.0) == 5
    rests = []
    now = 0.0
    for _ in range(5):
        rest = peer.away(now)
        assert peer.room(4, 1, 0, now + rest - 0.01) == 0
        now += rest
        assert peer.room(4, 1, 0, now) == 1
        rests.append(rest)
    assert rests == [1.0, 5.0, 25.0, 300.0, 300.0]
    peer.back()
    assert peer.room(4, 1, 0, now) == 5


def test_a_peer_that_takes_few_associations_gets_few() -> None:
    peer = PeerLimits()
    peer.busy(3, 0.0)
    assert (peer.room(4, 1, 0, 1.0), peer.at_once(4, 1.0)) == (2, 2)
    assert (peer.room(4, 1, 0, 61.0), peer.at_once(4, 61.0)) == (5, 4)
