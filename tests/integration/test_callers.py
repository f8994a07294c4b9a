"""Who calls, on real sockets: odd titles, contexts that cannot be, and rights by title alone."""

from __future__ import annotations

import logging
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from pynetdicom import acse

from node.core.settings.model import PeerSettings
from node.dimse.upper_layer.pdus import Proposal
from tests.integration.queryable import FIND, IMPLICIT, MOVE, Queryable, ask, instance
from tests.unit.dimse.test_request_repair import USUAL, item

VERIFICATION = b"1.2.840.10008.1.1"
HERE, ELSEWHERE = "127.0.0.1", "127.0.0.2"
STUDY = {"StudyInstanceUID": "1.9"}
ABSTRACT, TRANSFER = item(0x30, VERIFICATION), item(0x40, IMPLICIT.encode())
ACCEPTED, REJECTED, ABORTED = 2, 3, 7
INVALID_PARAMETER = 6
NOT_AUTHORIZED = 0x0124


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queryable]:
    made = Queryable(tmp_path_factory.mktemp("node"))
    made.store(instance(1, 1))
    made.store(instance(1, 2))
    yield made.start()
    made.close()


def context(number: int, *items: bytes) -> bytes:
    return item(0x20, bytes((number, 0, 0, 0)) + b"".join(items))


def answered(
    node: Queryable,
    *contexts: bytes,
    calling: bytes = b"SENDER",
    called: bytes = b"RASNODE",
    address: str = HERE,
) -> bytes:
    """The first PDU that an A-ASSOCIATE-RQ is answered with; empty: the connection was closed."""
    head = struct.pack(">HH", 1, 0) + called.ljust(16) + calling.ljust(16) + bytes(32)
    body = head + item(0x10, b"1.2.840.10008.3.1.1.1")
    body += b"".join(contexts or (context(1, ABSTRACT, TRANSFER),)) + item(0x50, b"".join(USUAL))
    with socket.create_connection(
        ("127.0.0.1", node.port), timeout=10, source_address=(address, 0)
    ) as connection:
        connection.sendall(struct.pack(">BxL", 1, len(body)) + body)
        return connection.recv(4096)


@pytest.mark.parametrize(
    "title",
    [
        b"PACS".ljust(16, b"\0"),
        b"PACS\0 garbage",
        b"\0PACS",
        b"M\xdcLLER",
        b"A\\B",
        b"\x1b[2Jx",
        b" " * 16,
        b"\0" * 16,
        b"\xff" * 16,
    ],
)
def test_a_title_is_taken_however_it_is_padded_and_spelled(
    node: Queryable, title: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert answered(node, calling=title)[0] == ACCEPTED
        assert answered(node, called=title)[0] == ACCEPTED
    assert all(line.isprintable() and line.isascii() for line in caplog.messages), caplog.messages


def test_a_title_padded_with_nul_is_that_of_the_peer(node: Queryable) -> None:
    known = PeerSettings(name="pacs", ae_title="PACS", host=HERE)
    scp, before = node.scp, node.dicom
    assert scp is not None
    try:
        scp.allow(before.model_copy(update={"accept": "known", "peers": (known,)}))
        assert answered(node, calling=b"PACS".ljust(16, b"\0"))[0] == ACCEPTED
        assert answered(node, calling=b"PACT".ljust(16, b"\0"))[0] == REJECTED
    finally:
        scp.allow(before)


@pytest.mark.parametrize(
    ("contexts", "sentence"),
    [
        ([context(2, ABSTRACT, TRANSFER)], "ID 2, which is not odd"),
        ([context(0, ABSTRACT, TRANSFER)], "ID 0, which is not odd"),
        ([context(1, ABSTRACT)], "context 1 has no transfer syntax"),
        ([context(1, ABSTRACT, item(0x40, b""))], "context 1 has no transfer syntax"),
        ([context(3, TRANSFER)], "context 3 does not have one abstract syntax"),
        ([context(3, ABSTRACT, ABSTRACT, TRANSFER)], "context 3 does not have one abstract syntax"),
        ([context(1, ABSTRACT, TRANSFER)] * 2, "Two presentation contexts have the ID 1"),
        ([item(0x20, b"")], "ID 0, which is not odd"),
        ([context(1, ABSTRACT, TRANSFER[:-3])], "goes beyond the end of the PDU"),
    ],
)
def test_a_context_that_cannot_be_is_an_abort_with_its_reason(
    node: Queryable, contexts: list[bytes], sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = answered(node, *contexts)
    assert answer[:1] == bytes([ABORTED])
    assert answer[8:10] == bytes([2, INVALID_PARAMETER])  # by the provider, PS3.8 Table 9-26
    assert sentence in caplog.text


@pytest.mark.parametrize(
    "contexts",
    [
        [context(1, item(0x30, b"1.2.\xff"), TRANSFER)],
        [context(1, item(0x30, b"1." * 60), TRANSFER)],
        [context(1, ABSTRACT, item(0x40, b"\xff\xfe"))],
        [context(1, ABSTRACT, item(0x40, b"1." * 60))],
        [context(1, ABSTRACT, TRANSFER), context(3, item(0x30, b"no uid"), TRANSFER)],
    ],
)
def test_whatever_cannot_be_served_is_answered_all_the_same(
    node: Queryable, contexts: list[bytes]
) -> None:
    assert answered(node, *contexts)[:1] in {bytes([ACCEPTED]), bytes([ABORTED])}


def test_an_error_that_nobody_foresaw_is_an_abort(
    node: Queryable, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(acse, "negotiate_unrestricted", fails)
    for _ in range(20):  # two threads end the association, in any order
        answer = answered(node)
        assert (answer[:1], answer[8:10]) == (bytes([ABORTED]), bytes([2, 0]))
    assert "the association of 'SENDER' at 127.0.0.1 is aborted because of an error" in caplog.text
    assert "secret" not in caplog.text


def statuses(
    node: Queryable, title: str, address: str, model: str = FIND, **more: Any
) -> list[int]:
    """What a query or a retrieval of somebody at an address is answered with."""
    original = socket.socket.connect

    def from_there(self: socket.socket, target: Any) -> None:
        self.bind((address, 0))
        original(self, target)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("socket.socket.connect", from_there)
        client = node.connect(Proposal(model, (IMPLICIT,)), calling=title)
    with client:
        return ask(client, "STUDY", model=model, **more, **STUDY).statuses


def test_a_title_alone_gives_nobody_the_rights_of_a_peer(
    node: Queryable, caplog: pytest.LogCaptureFixture
) -> None:
    node.know(
        PeerSettings(name="pacs", ae_title="PACS", host=HERE, port=9),
        PeerSettings(name="named", ae_title="NAMED", host="not.there.invalid", port=9),
        PeerSettings(name="weak", ae_title="WEAK", host=HERE, port=9, may=("store",)),
        PeerSettings(name="second", ae_title="PACS", host=ELSEWHERE, port=9, may=("get",)),
    )
    move = {"model": MOVE, "field": 0x0021, "command": {"MoveDestination": "NOBODY"}}
    unknown_destination = [0xA801]
    assert statuses(node, "PACS", HERE, **move) == unknown_destination
    assert statuses(node, "PACS", "127.0.0.3", **move) == [NOT_AUTHORIZED]
    assert "of an unlisted caller, because its address is not that of dicom.peers" in caplog.text
    assert statuses(node, "NAMED", HERE, **move) == [NOT_AUTHORIZED]
    assert "the host not.there.invalid of dicom.peers cannot be found" in caplog.text
    assert statuses(node, "NAMED", HERE)[-1] == 0x0000  # what unlisted callers may do
    assert statuses(node, "STRANGER", ELSEWHERE, **move) == [NOT_AUTHORIZED]
    assert statuses(node, "WEAK", HERE) == [NOT_AUTHORIZED]
    assert statuses(node, "WEAK", ELSEWHERE) == [NOT_AUTHORIZED]  # not more by another address
    assert statuses(node, "PACS", ELSEWHERE) == [NOT_AUTHORIZED]  # the other peer of that title


def test_who_cannot_be_recognized_is_told_apart_where_only_peers_may_come(
    node: Queryable, caplog: pytest.LogCaptureFixture
) -> None:
    known = (
        PeerSettings(name="pacs", ae_title="PACS", host=HERE),
        PeerSettings(name="named", ae_title="NAMED", host="not.there.invalid"),
    )
    scp = node.scp
    assert scp is not None
    try:
        scp.allow(node.dicom.model_copy(update={"accept": "known", "peers": known}))
        for title, address in ((b"PACS", ELSEWHERE), (b"NAMED", HERE), (b"NOBODY", HERE)):
            assert answered(node, calling=title, address=address)[0] == REJECTED
    finally:
        scp.allow(node.dicom)
    assert "'PACS' at 127.0.0.2 was rejected: its address is not that of dicom.peers" in caplog.text
    assert "'NAMED' at 127.0.0.1 was rejected: the host not.there.invalid" in caplog.text
    assert "'NOBODY' at 127.0.0.1 was rejected: its AE title is not in dicom.peers" in caplog.text
