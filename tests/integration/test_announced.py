"""MPPS and Instance Availability Notification: states, and lists that become evidence."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.dsutils import encode

from node.completion.facts import Source
from node.completion.study_decision import StudyStatement
from node.core.settings.model import PeerSettings
from node.dimse.upper_layer.pdus import Proposal
from node.storage.index.peers.announced import Announced, StepState
from node.storage.index.peers.statements import Statements
from node.storage.index.studies.statements import statements_of
from tests.integration.queryable import (  # noqa: F401
    IMPLICIT,
    Queryable,
    careless_peers,
    collected,
)

pytestmark = careless_peers

MPPS = "1.2.840.10008.3.1.2.3.3"
IAN = "1.2.840.10008.5.1.4.33"
STEP = "1.6.1"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Queryable]:
    made = Queryable(tmp_path)
    yield made.start()
    made.close()


@pytest.fixture
def scanner(node: Queryable) -> Iterator[Association]:
    ae = AE("SCANNER")
    ae.add_requested_context(MPPS, IMPLICIT)
    ae.add_requested_context(IAN, IMPLICIT)
    association = ae.associate("127.0.0.1", node.port, ae_title="RASNODE")
    assert association.is_established
    yield association
    if association.is_established:
        association.release()


def references(*uids: str) -> list[Dataset]:
    items = []
    for uid in uids:
        item = Dataset()
        item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        item.ReferencedSOPInstanceUID = uid
        items.append(item)
    return items


def step(status: str | None, *series: tuple[str, list[str], list[str]]) -> Dataset:
    made = Dataset()
    if status is not None:
        made.PerformedProcedureStepStatus = status
    made.PerformedSeriesSequence = []
    for uid, images, others in series:
        item = Dataset()
        item.SeriesInstanceUID = uid
        item.ReferencedImageSequence = references(*images)
        item.ReferencedNonImageCompositeSOPInstanceSequence = references(*others)
        made.PerformedSeriesSequence.append(item)
    return made


def test_a_completed_step_lists_what_belongs_to_a_series(
    node: Queryable, scanner: Association
) -> None:
    created, _ = scanner.send_n_create(step("IN PROGRESS"), MPPS, STEP)
    running, _ = scanner.send_n_set(step(None, ("1.8.1", ["1.7.1"], [])), MPPS, STEP)
    meanwhile = Statements(node.index).of("1.8.1")
    ended, _ = scanner.send_n_set(
        step("COMPLETED", ("1.8.1", ["1.7.1", "1.7.2"], ["1.7.3"])), MPPS, STEP
    )
    assert [created.Status, running.Status, ended.Status] == [0, 0, 0]
    assert [(one.final, one.uids) for one in meanwhile] == [(False, {"1.7.1"})]
    (said,) = Statements(node.index).of("1.8.1")
    assert said.source is Source.MPPS
    assert said.by == "SCANNER"
    assert said.final
    assert said.uids == {"1.7.1", "1.7.2", "1.7.3"}
    assert Announced(node.index).step(STEP) == (
        StepState.COMPLETED,
        {"1.8.1": ["1.7.1", "1.7.2", "1.7.3"]},
    )


def test_a_discontinued_step_lists_what_was_made(node: Queryable, scanner: Association) -> None:
    scanner.send_n_create(step("IN PROGRESS", ("1.8.1", [], [])), MPPS, STEP)
    scanner.send_n_set(step("DISCONTINUED", ("1.8.1", ["1.7.1"], [])), MPPS, STEP)
    (said,) = Statements(node.index).of("1.8.1")
    assert (said.final, said.uids) == (True, {"1.7.1"})


def test_steps_that_cannot_be(node: Queryable, scanner: Association) -> None:
    ended, _ = scanner.send_n_create(step("COMPLETED"), MPPS, STEP)
    unknown, _ = scanner.send_n_set(step("COMPLETED"), MPPS, STEP)
    scanner.send_n_create(step("IN PROGRESS"), MPPS, STEP)
    twice, _ = scanner.send_n_create(step("IN PROGRESS"), MPPS, STEP)
    odd, _ = scanner.send_n_set(step("PAUSED"), MPPS, STEP)
    scanner.send_n_set(step("COMPLETED"), MPPS, STEP)
    late, _ = scanner.send_n_set(step("DISCONTINUED"), MPPS, STEP)
    assert [ended.Status, unknown.Status, twice.Status] == [0x0106, 0x0112, 0x0111]
    assert [odd.Status, late.Status] == [0x0106, 0x0110]
    assert late.ErrorID == 0xA710
    assert scanner.is_established


def test_a_step_without_a_uid_gets_one(node: Queryable) -> None:
    with node.connect(Proposal(MPPS, (IMPLICIT,))) as scanner:
        request = {"AffectedSOPClassUID": MPPS, "CommandField": 0x0140}
        data = encode(step("IN PROGRESS"), True, True)
        response = scanner.response(scanner.request(1, request, data))
    assert response.command["Status"] == 0
    assert Announced(node.index).step(response.command["AffectedSOPInstanceUID"]) is not None


def test_availability_lists_what_belongs_to_a_series(node: Queryable, scanner: Association) -> None:
    notice = Dataset()
    notice.StudyInstanceUID = "1.9"
    series = Dataset()
    series.SeriesInstanceUID = "1.8.1"
    series.ReferencedSOPSequence = references("1.7.1", "1.7.2")
    notice.ReferencedSeriesSequence = [series]
    status, _ = scanner.send_n_create(notice, IAN, "1.6.2")
    assert status.Status == 0
    (said,) = Statements(node.index).of("1.8.1")
    assert said.source is Source.INSTANCE_AVAILABILITY
    assert said.uids == {"1.7.1", "1.7.2"}


def test_who_may_not_store_may_not_announce(node: Queryable, scanner: Association) -> None:
    node.know(PeerSettings(name="s", ae_title="SCANNER", host="h", port=1, may=("find",)))
    status, _ = scanner.send_n_create(step("IN PROGRESS"), MPPS, STEP)
    assert status.Status == 0x0124
    assert Announced(node.index).step(STEP) is None


def test_a_step_and_a_notice_say_which_series_their_studies_have(
    node: Queryable, scanner: Association
) -> None:
    begun = step("IN PROGRESS")
    scheduled = Dataset()
    scheduled.StudyInstanceUID = "1.9.1"
    begun.ScheduledStepAttributesSequence = [scheduled]
    assert scanner.send_n_create(begun, MPPS, STEP)[0].Status == 0
    ended = step("COMPLETED", ("1.8.1", ["1.7.1"], []), ("1.8.2", ["1.7.2"], []))
    (early,) = said_of(node, "1.9.1")
    assert scanner.send_n_set(ended, MPPS, STEP)[0].Status == 0
    (late,) = said_of(node, "1.9.1")
    assert (early.final, early.series) == (False, frozenset())
    assert (late.source, late.by, late.final) == (Source.MPPS, "SCANNER", True)
    assert late.series == {"1.8.1", "1.8.2"}

    notice = Dataset()
    notice.StudyInstanceUID = "1.9.2"
    item = Dataset()
    item.SeriesInstanceUID = "1.8.3"
    item.ReferencedSOPSequence = references("1.7.3")
    notice.ReferencedSeriesSequence = [item]
    assert scanner.send_n_create(notice, IAN, "1.6.9")[0].Status == 0
    (available,) = said_of(node, "1.9.2")
    assert available.source is Source.INSTANCE_AVAILABILITY
    assert available.series == {"1.8.3"}


def said_of(node: Queryable, study: str) -> tuple[StudyStatement, ...]:
    with node.index.reading() as connection:
        return statements_of(connection, study)
