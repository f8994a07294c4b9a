"""What people do to series, and that it stays in the history who did."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.completion.facts import Count
from node.completion.states import NotNow
from node.core.events import NewDelivery
from node.lifecycle.assembly.jobs import Assembled, Job
from node.lifecycle.evidence_loader import EvidenceLoader
from node.lifecycle.operator_actions import NoSuchSeries, OperatorActions
from tests.simulator.bench import Bench, stage
from tests.unit.completion.builders import stack, without

GAPPY = without(stack(30, announced={Count.IMAGES_IN_ACQUISITION: 30}), 12)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.index.close()


def ann(bench: Bench) -> OperatorActions:
    return OperatorActions(
        bench.work,
        bench.outbox,
        EvidenceLoader(bench.work, bench.statements),
        person="ann",
        clock=lambda: bench.now,
    )


def last(bench: Bench, actor: str) -> dict[str, object]:
    history = bench.work.history(bench.series().pk)
    return [event for event in history if event["actor"] == actor][-1]


def test_an_incomplete_series_is_forced(bench: Bench) -> None:
    bench.deliver(GAPPY)
    bench.run(60.0)
    assert bench.state() == "held"
    assert ann(bench).force("1.5") == "the node assembles it as it is"
    bench.run(0.2)
    assert (bench.state(), bench.series().revision) == ("ready", 1)
    verdict = bench.series().verdict or {}
    assert verdict["verdict"] == "incomplete"
    assert any(item["source"] == "person" for item in verdict["reasons"])
    assert last(bench, "ann")["from_state"] == "held"


def test_a_series_still_coming_is_forced_and_goes_on_growing(bench: Bench) -> None:
    bench.deliver(stack(20)[:10])
    bench.run(1.0)
    ann(bench).force("1.5")
    bench.run(0.2)
    assert bench.series().revision == 1
    bench.deliver(stack(20)[10:])
    bench.run(30.0)
    assert (bench.state(), bench.series().revision) == ("ready", 2)


def test_what_is_held_stays_held_whatever_comes(bench: Bench) -> None:
    bench.deliver(stack(20)[:10])
    ann(bench).hold("1.5")
    bench.run(100.0)
    bench.deliver(stack(20)[10:])
    bench.run(100.0)
    assert (bench.state(), bench.files()) == ("held", [])
    bench.restart()
    bench.run(100.0)
    assert bench.state() == "held"
    ann(bench).release("1.5")
    bench.run(0.2)
    assert bench.state() == "ready"


def test_a_ready_series_that_is_held_keeps_its_files(bench: Bench) -> None:
    bench.deliver(stack(20))
    bench.run(10.0)
    before = bench.files()
    ann(bench).hold("1.5")
    bench.deliver([stack(21)[20]])
    bench.run(100.0)
    assert (bench.state(), bench.files()) == ("held", before)


def test_holding_during_assembly_stops_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, at_once=False)
    bench.deliver(stack(20))
    bench.run(6.0)
    ann(bench).hold("1.5")
    bench.executor.work_off()
    bench.run(10.0)
    assert (bench.state(), bench.files()) == ("held", [])
    bench.index.close()


def test_a_failed_series_is_tried_again(tmp_path: Path) -> None:
    troubles = [ZeroDivisionError()]

    def task(job: Job) -> Assembled:
        if troubles:
            raise troubles.pop()
        return stage(job)

    bench = Bench(tmp_path, task=task)
    bench.deliver(stack(20))
    bench.run(10.0)
    assert bench.state() == "failed"
    assert ann(bench).retry("1.5") == "the node assembles it again"
    bench.run(0.2)
    assert bench.state() == "ready"
    bench.index.close()


def test_trying_again_what_does_not_differ_changes_nothing(bench: Bench) -> None:
    bench.deliver(stack(20))
    bench.run(10.0)
    ann(bench).retry("1.5")
    bench.run(0.2)
    assert (bench.state(), bench.series().revision) == ("ready", 1)


def test_a_series_held_for_gaps_is_judged_anew_and_held_again(bench: Bench) -> None:
    bench.deliver(GAPPY)
    bench.run(60.0)
    assert ann(bench).retry("1.5") == "the node judges it again"
    bench.run(0.2)
    assert bench.state() == "held"


def test_dead_deliveries_of_the_series_are_tried_again(bench: Bench) -> None:
    bench.deliver(stack(20))
    bench.run(10.0)
    pk = bench.series().pk
    bench.outbox.add(pk, [NewDelivery("k", "t", "ready", 1, {})], bench.now)
    bench.outbox.bury(bench.outbox.of_series(pk)[0], bench.now, "no")
    assert "1 dead delivery is tried again" in ann(bench).retry("1.5")
    assert bench.outbox.counts() == {"pending": 1}


def test_what_cannot_be_done_is_said(bench: Bench) -> None:
    with pytest.raises(NoSuchSeries, match=r"no series 1\.5"):
        ann(bench).retry("1.5")
    bench.deliver(stack(20))
    with pytest.raises(NotNow, match="the series is receiving"):
        ann(bench).retry("1.5")
    bench.run(10.0)
    with pytest.raises(NotNow, match="the series is ready; release is not possible"):
        ann(bench).release("1.5")
