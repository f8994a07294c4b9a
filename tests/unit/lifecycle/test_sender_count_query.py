"""Asking senders back: when, whom, how often, and what an answer does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from node.core.errors import Retryable
from node.lifecycle.sender_count_query import SenderCountQuery
from node.storage.index.peers.statements import FIRST_REFUSAL_SECONDS
from tests.simulator.bench import Bench
from tests.unit.completion.builders import stack


class Sender:
    """A peer that answers what a test says, and counts the questions."""

    def __init__(self) -> None:
        self.answer: int | Exception | None = 30
        self.asked: list[tuple[str, str, str]] = []

    def count(self, title: str, study: str, series: str) -> int | None:
        self.asked.append((title, study, series))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Asking:
    """A bench whose watcher asks, with every question answered before time goes on."""

    def __init__(self, folder: Path, titles: tuple[str, ...] = ("CT1",)) -> None:
        self.sender = Sender()
        self.bench = Bench(folder, count_query=self)  # type: ignore[arg-type]
        self.woken = threading.Event()
        self.count_query = SenderCountQuery(
            self.bench.statements,
            titles=lambda: titles,
            count=self.sender.count,
            clock=lambda: self.bench.now,
            wake=self.woken.set,
        )
        self.count_query._pool.shutdown()
        self.count_query._pool = ThreadPoolExecutor(1)

    def consider(self, *arguments: object) -> None:
        self.count_query.consider(*arguments)  # type: ignore[arg-type]
        self.count_query._pool.submit(lambda: None).result(10)  # after all that was asked before


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[Asking]:
    made = Asking(tmp_path)
    yield made
    made.count_query.stop()
    made.bench.index.close()


def test_a_count_that_is_reached_is_proof_and_ends_the_waiting(asking: Asking) -> None:
    asking.bench.deliver(stack(30))
    asking.bench.run(1.0)
    assert asking.sender.asked == [("CT1", "1.4", "1.5")]
    assert asking.bench.state() == "ready"
    assert (asking.bench.series().verdict or {})["verdict"] == "complete"
    assert asking.woken.is_set()


def test_a_larger_count_is_waited_for_and_asked_again_when_more_came(asking: Asking) -> None:
    asking.bench.deliver(stack(30)[:20])
    asking.bench.run(20.0)
    assert asking.bench.state() == "receiving"
    assert len(asking.sender.asked) == 1
    asking.bench.deliver(stack(30)[20:])
    asking.bench.run(1.0)
    assert (asking.bench.state(), len(asking.sender.asked)) == ("ready", 2)


def test_no_sender_is_asked_while_an_association_is_open(asking: Asking) -> None:
    association = asking.bench.open()
    asking.bench.send(association, stack(30))
    asking.bench.run(30.0)
    assert asking.sender.asked == []


def test_strangers_are_not_asked(tmp_path: Path) -> None:
    asking = Asking(tmp_path, titles=("OTHER",))
    asking.bench.deliver(stack(30))
    asking.bench.run(30.0)
    assert asking.sender.asked == []
    assert asking.bench.state() == "ready"
    asking.count_query.stop()
    asking.bench.index.close()


@pytest.mark.parametrize("answer", [None, Retryable("it does not speak C-FIND")])
def test_a_refusal_is_remembered_for_a_while(asking: Asking, answer: Exception | None) -> None:
    asking.sender.answer = answer
    asking.bench.deliver(stack(30), "1.5")
    asking.bench.run(10.0)
    assert asking.bench.state() == "ready"  # by quiet time
    others = [item._replace(uid=f"9.{item.number}") for item in stack(30)]
    asking.bench.deliver(others, "1.6")
    asking.bench.run(10.0)
    assert len(asking.sender.asked) == 1

    asking.bench.run(FIRST_REFUSAL_SECONDS)
    asking.sender.answer = 30
    asking.bench.deliver([item._replace(uid=f"8.{item.number}") for item in stack(30)], "1.7")
    asking.bench.run(1.0)
    assert len(asking.sender.asked) == 2
    assert asking.bench.state("1.7") == "ready"


def test_who_refuses_again_is_asked_less_and_less(asking: Asking) -> None:
    statements = asking.bench.statements
    waits = [statements.refused("CT1", "no", 0.0) for _ in range(10)]
    assert waits[:3] == [FIRST_REFUSAL_SECONDS * factor for factor in (1, 2, 4)]
    assert waits[-1] == 86400.0
    assert statements.askable(["CT1", "MR1"], 86399.0) == ["MR1"]
    statements.answered("CT1")
    assert statements.askable(["CT1"], 0.0) == ["CT1"]
