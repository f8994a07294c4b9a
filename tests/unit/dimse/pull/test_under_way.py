"""How many items ask, and how many retrieve, at once."""

from __future__ import annotations

import threading
import time

from node.core.pulls import ItemState, JobState, PullItem, PullJob
from node.dimse.pull.outcome import Result
from node.dimse.pull.under_way import Phase, Running, UnderWay

DONE = Result(ItemState.COMPLETE)
BUSY = Result(ItemState.REFUSED, busy=True, again=True)


def job(pk: int = 1, parallel: int = 2, peer: str = "pacs") -> PullJob:
    return PullJob(
        pk=pk,
        name=f"job-{pk}",
        peer=peer,
        state=JobState.RUNNING,
        order=None,
        series={},
        by="auto",
        window="",
        rate="",
        parallel=parallel,
        reason="",
        created_at=0.0,
        ended_at=None,
    )


def item(pk: int) -> PullItem:
    return PullItem(
        pk=pk, job_pk=1, row=pk, query={}, state=ItemState.WAITING, reason="", tries=0, due=0.0
    )


def phase_of(one: Running) -> Phase:
    return one.phase


def retrieving(under_way: UnderWay, one: Running, most: int = 4) -> threading.Thread:
    """A thread that waits until it may retrieve."""
    thread = threading.Thread(target=under_way.wait_to_retrieve, args=(one, most), daemon=True)
    thread.start()
    time.sleep(0.05)
    return thread


def test_two_items_ask_while_as_many_retrieve_as_may() -> None:
    under_way, mine = UnderWay(), job(parallel=2)
    assert under_way.room(mine, most=4) == 4
    first, second, third, _ = (under_way.add(mine, item(pk)) for pk in (1, 2, 3, 4))
    assert under_way.room(mine, most=4) == 0
    assert under_way.wait_to_retrieve(first, 4)
    assert under_way.wait_to_retrieve(second, 4)
    waiting = retrieving(under_way, third)
    assert phase_of(third) is Phase.WAITS
    under_way.become(first, Phase.LEFT)
    waiting.join(5)
    assert phase_of(third) is Phase.RETRIEVES
    assert under_way.room(mine, most=4) == 1, "what waits for the archive leaves room"


def test_the_limit_of_a_peer_holds_over_all_jobs() -> None:
    under_way = UnderWay()
    one, other = under_way.add(job(1), item(1)), under_way.add(job(2), item(2))
    elsewhere = under_way.add(job(3, peer="other"), item(3))
    assert under_way.wait_to_retrieve(one, most=1)
    assert under_way.wait_to_retrieve(elsewhere, most=1)
    waiting = retrieving(under_way, other, most=1)
    assert phase_of(other) is Phase.WAITS
    under_way.remove(one)
    waiting.join(5)
    assert phase_of(other) is Phase.RETRIEVES


def test_what_is_to_end_waits_no_more() -> None:
    under_way, mine = UnderWay(), job(parallel=1)
    first, second = under_way.add(mine, item(1)), under_way.add(mine, item(2))
    assert under_way.wait_to_retrieve(first, 4)
    waiting = retrieving(under_way, second)
    under_way.end(mine)
    waiting.join(5)
    assert not waiting.is_alive()
    assert phase_of(second) is Phase.WAITS
    under_way.remove(first)
    under_way.remove(second)
    began = time.monotonic()
    under_way.wait_for_all(began + 5)
    assert time.monotonic() - began < 1


def test_a_peer_that_refuses_an_association_gets_no_question_beside_its_retrieves() -> None:
    now = [0.0]
    under_way, mine = UnderWay(lambda: now[0]), job(parallel=2)
    first, second, third = (under_way.add(mine, item(pk)) for pk in (1, 2, 3))
    assert under_way.wait_to_retrieve(first, 4)
    assert under_way.wait_to_retrieve(second, 4)
    under_way.learn(third, BUSY)  # it was to be the third association
    under_way.remove(third)
    assert under_way.room(mine, most=4) == 0
    under_way.learn(first, DONE)
    under_way.remove(first)
    assert under_way.room(mine, most=4) == 1
    now[0] = 61.0
    assert under_way.room(mine, most=4) == 3
