"""Storage Commitment: checked bytes, reports on the same or a new association, over restarts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.association import Association

from node.core.settings.model import PeerSettings
from node.storage.index.peers.commitments import Commitments
from node.storage.index.peers.statements import Statements
from tests.integration.queryable import (  # noqa: F401
    CT,
    IMPLICIT,
    MR,
    Peer,
    Queryable,
    careless_peers,
    collected,
    instance,
)
from tests.running import eventually

pytestmark = careless_peers

PUSH = "1.2.840.10008.1.20.1"
WELL_KNOWN = "1.2.840.10008.1.20.1.1"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Queryable]:
    made = Queryable(tmp_path)
    for number in range(3):
        made.store(instance(1, number))
    yield made
    made.close()


def wanted(*pairs: tuple[str, str], transaction: str = "1.5.1") -> Dataset:
    made = Dataset()
    made.TransactionUID = transaction
    made.ReferencedSOPSequence = []
    for sop_class, uid in pairs:
        item = Dataset()
        with disable_value_validation():
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
        made.ReferencedSOPSequence.append(item)
    return made


def associate(node: Queryable, title: str, reports: list | None = None) -> Association:
    def reported(event) -> tuple[int, None]:
        assert reports is not None
        reports.append((event.request.EventTypeID, event.event_information))
        return 0x0000, None

    ae = AE(title)
    ae.add_requested_context(PUSH, IMPLICIT)
    association = ae.associate(
        "127.0.0.1",
        node.port,
        ae_title="RASNODE",
        evt_handlers=[(evt.EVT_N_EVENT_REPORT, reported)],
    )
    assert association.is_established
    return association


def ask(node: Queryable, request: Dataset, title: str = "PEER", action: int = 1) -> int:
    association = associate(node, title)
    with disable_value_validation():
        status, _ = association.send_n_action(request, action, PUSH, WELL_KNOWN)
    association.release()
    return int(status.Status)


def references(items) -> list[tuple[str, str]]:
    return [(i.ReferencedSOPClassUID, i.ReferencedSOPInstanceUID) for i in items]


def test_reported_on_the_same_association(node: Queryable) -> None:
    node.start()
    node.know(PeerSettings(name="p", ae_title="PEER", host="127.0.0.1", port=9))
    reports: list = []
    association = associate(node, "PEER", reports)
    pairs = [(CT, "1.7.1.0"), (CT, "1.7.1.1")]
    status, _ = association.send_n_action(wanted(*pairs), 1, PUSH, WELL_KNOWN)
    eventually(lambda: reports, 30, "the report")
    association.release()
    assert status.Status == 0x0000
    kind, information = reports[0]
    assert kind == 1
    assert information.TransactionUID == "1.5.1"
    assert information.RetrieveAETitle == "RASNODE"
    assert references(information.ReferencedSOPSequence) == pairs
    assert "FailedSOPSequence" not in information


def test_each_failure_has_its_reason(node: Queryable) -> None:
    (damaged,) = node.archive.root.rglob("1.7.1.1.dcm")
    raw = bytearray(damaged.read_bytes())
    raw[-1] ^= 1
    damaged.write_bytes(raw)
    (gone,) = node.archive.root.rglob("1.7.1.2.dcm")
    gone.unlink()
    node.start()
    with Peer().listening() as peer:
        node.know(peer.settings)
        request = wanted(
            (CT, "1.7.1.0"), (CT, "1.7.1.1"), (CT, "1.7.1.2"), (MR, "1.7.1.0"), (CT, "1.2.3")
        )
        assert ask(node, request) == 0x0000
        eventually(lambda: peer.reports, 30, "the report")
    kind, information = peer.reports[0]
    assert kind == 2
    assert references(information.ReferencedSOPSequence) == [(CT, "1.7.1.0")]
    reasons = {
        (item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID): item.FailureReason
        for item in information.FailedSOPSequence
    }
    assert reasons == {
        (CT, "1.7.1.1"): 0x0110,
        (CT, "1.7.1.2"): 0x0110,
        (MR, "1.7.1.0"): 0x0119,
        (CT, "1.2.3"): 0x0112,
    }


def test_a_report_survives_a_restart_and_a_peer_that_is_away(node: Queryable) -> None:
    peer = Peer()
    with peer.listening() as up:
        port = up.settings.port
    node.start()
    node.know(peer.settings)
    assert ask(node, wanted((CT, "1.7.1.0"))) == 0x0000
    commitments = Commitments(node.index)
    eventually(lambda: (commitments.next_due() or 0) > 1, 30, "a first attempt")
    node.stop()
    waiting = commitments.claim(1e12)
    assert waiting is not None
    commitments.postpone(waiting, 0.0, "due now")
    with Peer().listening(port=port) as back:
        node.start()
        eventually(lambda: back.reports, 30, "the report after the restart")
        eventually(lambda: commitments.next_due() is None, 30, "nothing to be left")
    assert back.reports[0][1].TransactionUID == "1.5.1"


@pytest.mark.parametrize(
    ("request_", "title", "action", "status"),
    [
        (wanted(), "PEER", 1, 0x0115),
        (wanted((CT, "not a uid")), "PEER", 1, 0x0115),
        (wanted((CT, "1.7.1.0"), transaction=""), "PEER", 1, 0x0115),
        (wanted((CT, "1.7.1.0")), "PEER", 2, 0x0123),
        (wanted((CT, "1.7.1.0")), "STRANGER", 1, 0x0124),
        (wanted((CT, "1.7.1.0")), "WEAK", 1, 0x0124),
    ],
)
def test_refused_by_name(node: Queryable, request_, title: str, action: int, status: int) -> None:
    node.start()
    node.know(
        PeerSettings(name="p", ae_title="PEER", host="127.0.0.1", port=9),
        PeerSettings(name="w", ae_title="WEAK", host="127.0.0.1", port=9, may=("store",)),
    )
    assert ask(node, request_, title, action) == status
    assert Commitments(node.index).next_due() is None


def test_a_list_of_what_was_sent_is_evidence(node: Queryable) -> None:
    node.start()
    with Peer().listening() as peer:
        node.know(peer.settings)
        ask(node, wanted((CT, "1.7.1.0"), (CT, "1.7.1.1")))
        eventually(lambda: peer.reports, 30, "the report")
        ask(node, wanted((CT, "1.7.1.0"), (CT, "1.2.3"), transaction="1.5.2"))
        eventually(lambda: len(peer.reports) == 2, 30, "the second report")
    (said,) = Statements(node.index).of("1.8.1")
    assert said.by == "PEER"
    assert said.uids == {"1.7.1.0", "1.7.1.1"}


def test_two_processes_never_report_the_same(node: Queryable) -> None:
    commitments = Commitments(node.index)
    commitments.add("PEER", "1.5.1", [(CT, "1.7.1.0")], 10.0)
    commitments.add("PEER", "1.5.1", [(CT, "1.7.1.1")], 11.0)
    first = commitments.claim(20.0)
    assert first is not None
    assert first.instances == ((CT, "1.7.1.1"),)
    assert commitments.claim(20.0) is None
    again = commitments.claim(20.0 + 3600)
    assert again is not None
    assert again.attempts == 2
