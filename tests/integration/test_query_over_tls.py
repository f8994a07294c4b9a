"""Queries and retrievals over TLS, both ways."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.core.settings.model import TLS
from node.dimse.upper_layer.pdus import Proposal
from node.dimse.upper_layer.requestor import Destination, PeerSilent, Requestor
from tests.certificates import self_signed
from tests.integration.queryable import (  # noqa: F401
    CT,
    EXPLICIT,
    FIND,
    GET,
    IMPLICIT,
    MOVE,
    Peer,
    Queryable,
    ask,
    careless_peers,
    collected,
    instance,
)
from tests.unit.dicom.matching.identifiers import encoded, identifier

pytestmark = careless_peers

MANY = 300
SERIES = {"StudyInstanceUID": "1.9", "SeriesInstanceUID": "1.8.1"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> TLS:
    """A certificate that is its own authority."""
    own, secret = self_signed(tmp_path_factory.mktemp("tls"))
    return TLS(certificate=own, key=secret, ca=own, require_client_certificate=True)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, certificate: TLS) -> Iterator[Queryable]:
    made = Queryable(tmp_path_factory.mktemp("node"))
    for number in range(MANY):
        made.store(instance(1, number))
    yield made.start(tls=certificate)
    made.close()


def client(node: Queryable, certificate: TLS, *proposals: Proposal) -> Requestor:
    context = ssl.create_default_context(cafile=str(certificate.ca))
    context.load_cert_chain(certificate.certificate, certificate.key)
    where = Destination("127.0.0.1", node.port, "RASNODE", "TESTER", context, seconds=20.0)
    return Requestor(where, proposals)


def test_matches_come_all_and_in_order(node: Queryable, certificate: TLS) -> None:
    with client(node, certificate, Proposal(FIND, (IMPLICIT,))) as peer:
        asked = ask(peer, "IMAGE", **SERIES, SOPInstanceUID="", InstanceNumber="")
        again = ask(peer, "STUDY", StudyInstanceUID="1.9")
    assert len(asked.identifiers) == MANY
    assert asked.statuses[-1] == 0x0000
    assert again.statuses == [0xFF00, 0x0000]


def test_a_query_is_cancelled(node: Queryable, certificate: TLS) -> None:
    with client(node, certificate, Proposal(FIND, (IMPLICIT,))) as peer:
        asked = ask(peer, "IMAGE", cancel_after=1, **SERIES, SOPInstanceUID="")
    assert asked.statuses[-1] == 0xFE00


def test_a_client_that_does_not_speak_tls_is_not_served(node: Queryable) -> None:
    with pytest.raises(PeerSilent):
        node.connect(Proposal(FIND, (IMPLICIT,)))


def test_moved_to_a_peer_over_tls(node: Queryable, certificate: TLS, tmp_path: Path) -> None:
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificate.ca))
    server.load_cert_chain(certificate.certificate, certificate.key)
    server.verify_mode = ssl.CERT_REQUIRED
    with Peer().listening((CT, (EXPLICIT,)), tls=server) as peer:
        node.know(peer.settings.model_copy(update={"tls": True}))
        with client(node, certificate, Proposal(MOVE, (IMPLICIT,))) as asking:
            asked = ask(
                asking,
                "SERIES",
                model=MOVE,
                field=0x0021,
                command={"MoveDestination": "PEER"},
                **SERIES,
            )
    assert asked.statuses[-1] == 0x0000
    assert len(peer.taken) == MANY


def test_got_over_tls(node: Queryable, certificate: TLS) -> None:
    storage = Proposal(CT, (EXPLICIT,), scp=True)
    with client(node, certificate, Proposal(GET, (IMPLICIT,)), storage) as peer:
        context = peer.contexts(GET)[IMPLICIT]
        request = {"AffectedSOPClassUID": GET, "CommandField": 0x0010, "Priority": 0}
        peer.request(context, request, encoded(identifier("SERIES", **SERIES)))
        got = []
        while True:
            message = peer.receive()
            if message.command["CommandField"] == 0x8010:
                if message.command["Status"] != 0xFF00:
                    break
                continue
            got.append(message.command["AffectedSOPInstanceUID"])
            peer.respond(message, 0x0000)
    assert message.command["Status"] == 0x0000
    assert len(set(got)) == MANY
