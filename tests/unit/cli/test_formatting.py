"""What `status` and `ls --history` say of series and deliveries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.cli.series.formatting import deliveries, history, why
from node.core.errors import NodeError, Reason
from node.core.events import NewDelivery
from node.lifecycle.assembly.jobs import Assembled, Refusal
from node.storage.index.search.listing import Listing
from tests.simulator.bench import Bench
from tests.unit.completion.builders import stack, without


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.index.close()


def test_a_held_series_says_what_is_missing(bench: Bench) -> None:
    bench.deliver(without(stack(30), 12))
    bench.run(60.0)
    said = why(bench.series())
    assert "at 27.5 mm" in said
    assert "held: instances are missing" in said


def test_a_series_that_waits_says_for_what(bench: Bench) -> None:
    bench.deliver(stack(30))
    bench.run(1.0)
    assert why(bench.series()) == "waiting 5 s of silence after release"


def test_a_ready_series_says_nothing(bench: Bench) -> None:
    bench.deliver(stack(30))
    bench.run(10.0)
    assert why(bench.series()) == ""


def test_a_refusal_has_its_name(tmp_path: Path) -> None:
    refusal = Refusal(Reason.UNEQUAL_SPACING, "Steps of 5 and 7 mm.")
    bench = Bench(tmp_path, task=lambda _job: Assembled((), (refusal,)))
    bench.deliver(stack(30))
    bench.run(10.0)
    assert why(bench.series()).startswith("unequal-spacing: Steps of 5 and 7 mm; ")
    bench.index.close()


def test_history_tells_who_did_what_and_why(bench: Bench) -> None:
    bench.deliver(stack(30))
    bench.run(10.0)
    told = list(history(bench.work, "1.5"))
    assert [(event["actor"], event["to"]) for event in told] == [
        ("completion", "settled"),
        ("assembler", "assembling"),
        ("assembler", "ready"),
    ]
    assert told[0]["why"] == "waited 5 s of silence after release"
    assert told[0]["at"].endswith("+00:00")
    with pytest.raises(NodeError, match=r"no series 1\.9"):
        list(history(bench.work, "1.9"))


def test_who_had_the_last_word(bench: Bench) -> None:
    bench.deliver(stack(30))
    assert Listing(bench.index).last_words([1, 2]) in ({}, {1: "receiver"})
    bench.run(10.0)
    assert Listing(bench.index).last_words([1, 2]) == {1: "assembler"}
    assert Listing(bench.index).last_words([2]) == {}


def test_dead_deliveries_are_told(bench: Bench) -> None:
    bench.deliver(stack(30))
    pk = bench.series().pk
    bench.outbox.add(pk, [NewDelivery("k", "hook", "ready", 1, {})], bench.now)
    assert deliveries(bench.outbox)["counts"] == {"pending": 1, "delivered": 0, "dead": 0}
    bench.outbox.bury(bench.outbox.of_series(pk)[0], bench.now, "it answered 422")
    (dead,) = deliveries(bench.outbox)["dead"]
    assert (dead["target"], dead["error"]) == ("hook", "it answered 422")
