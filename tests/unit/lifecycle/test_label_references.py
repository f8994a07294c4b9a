"""Labels and the series they lie on: whichever comes first, and when one of them changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from node.assemble.frames.headers import decode_header, encode_header
from node.completion.facts import InstanceFacts
from node.core import fault_points
from node.core.errors import Reason
from node.core.records import InstanceRecord
from node.lifecycle.assembly.jobs import Assembled, Job, Refusal
from tests.simulator.bench import Bench, record, stage
from tests.unit.completion.builders import image, stack, without

SEG = "1.2.840.10008.5.1.4.1.1.66.4"
IMAGES, LABELS = "1.5", "1.6"


def make(job: Job) -> Assembled:
    """What assembly does with labels: their grid has to be there."""
    if job.series_uid == LABELS and not job.references:
        return Assembled((), (Refusal(Reason.MISSING_REFERENCE, "not here"),))
    return stage(job)


def label(bench: Bench) -> InstanceRecord:
    made = record(image(1, 0.0, uid="1.6.1"), LABELS, bench.now, {"SeriesDescription": "Organs"})
    header = msgspec.structs.replace(
        decode_header(made.header), sop_class_uid=SEG, references=(IMAGES,)
    )
    return msgspec.structs.replace(made, sop_class_uid=SEG, header=encode_header(header))


def send_labels(bench: Bench) -> None:
    association = bench.open()
    bench.store.add([(label(bench), association)])
    bench.end(association)


def grids(bench: Bench) -> list[int]:
    """How many instances of the other series each assembly of the labels was given."""
    return [len(job.references) for job in bench.executor.jobs if job.series_uid == LABELS]


def why(bench: Bench) -> str:
    return str((bench.series(LABELS).verdict or {}).get("waits"))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, task=make)
    yield made
    made.index.close()


@pytest.fixture
def slices() -> list[InstanceFacts]:
    return stack(5)


def test_labels_are_made_on_the_series_that_came_before(
    bench: Bench, slices: list[InstanceFacts]
) -> None:
    bench.deliver(slices)
    bench.run(6.0)
    send_labels(bench)
    bench.run(6.0)
    assert (bench.state(LABELS), grids(bench)) == ("ready", [5])


def test_labels_that_came_first_are_refused_and_made_when_their_series_comes(
    bench: Bench, slices: list[InstanceFacts]
) -> None:
    send_labels(bench)
    bench.run(6.0)
    assert (bench.state(LABELS), grids(bench)) == ("not-a-volume", [0])
    refused = (bench.series(LABELS).verdict or {})["refusals"]
    assert [one["reason"] for one in refused] == ["missing-reference"]
    bench.deliver(slices)
    bench.run(6.0)
    assert (bench.state(), bench.state(LABELS)) == ("ready", "ready")
    assert grids(bench) == [0, 5]


def test_labels_wait_for_a_series_that_is_still_coming_and_say_so(
    bench: Bench, slices: list[InstanceFacts]
) -> None:
    association = bench.open()
    bench.send(association, slices[:3])
    send_labels(bench)
    bench.run(20.0)
    assert (bench.state(LABELS), grids(bench)) == ("settled", [])
    assert why(bench) == "waits for series 1.5, which it labels and which is receiving"
    bench.send(association, slices[3:])
    bench.end(association)
    bench.run(10.0)
    assert (bench.state(LABELS), grids(bench)) == ("ready", [5])
    assert why(bench) == "None"


def test_labels_are_made_again_on_another_revision(
    bench: Bench, slices: list[InstanceFacts]
) -> None:
    bench.deliver(slices[:4])
    send_labels(bench)
    bench.run(10.0)
    assert grids(bench) == [4]
    bench.deliver(slices[4:])
    bench.run(30.0)
    assert bench.series().revision == 2
    assert (bench.state(LABELS), grids(bench)) == ("ready", [4, 5])


def test_a_crash_right_after_a_publication_does_not_leave_labels_on_the_old_revision(
    bench: Bench, slices: list[InstanceFacts], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.deliver(slices[:4])
    send_labels(bench)
    bench.run(10.0)
    bench.deliver(slices[4:])
    monkeypatch.setattr(fault_points, "_named", "revision-finished raise")
    bench.run(60.0)
    monkeypatch.setattr(fault_points, "_named", None)
    made = grids(bench)
    bench.restart()
    bench.run(60.0)
    assert bench.series().revision == 2
    assert (bench.state(LABELS), [*made, *grids(bench)]) == ("ready", [4, 5])


def test_a_series_that_is_held_is_no_ground(bench: Bench, slices: list[InstanceFacts]) -> None:
    bench.deliver(without(slices, 3))
    send_labels(bench)
    bench.run(60.0)
    assert (bench.state(), bench.state(LABELS)) == ("held", "not-a-volume")
    assert grids(bench) == [0]


def test_labels_of_a_series_that_changed_meanwhile_are_not_published(
    bench: Bench, slices: list[InstanceFacts]
) -> None:
    bench.deliver(slices[:4])
    bench.run(6.0)
    send_labels(bench)
    bench.executor.at_once = False
    bench.run(6.0)
    bench.deliver(slices[4:])
    bench.executor.work_off()
    bench.executor.at_once = True
    bench.run(1.0)
    assert (bench.state(LABELS), bench.series(LABELS).revision) == ("settled", 0)
    bench.run(60.0)
    assert (bench.state(LABELS), grids(bench)) == ("ready", [4, 5])
