"""Instances brought to a peer that is slower than it may be."""

from __future__ import annotations

import hashlib
import socket
import time
from pathlib import Path

import msgspec
import pytest

from node.core.records import StoredInstance
from node.core.settings.model import Dicom, PeerSettings
from node.dimse.scu.outgoing import NotStored, Outgoing
from node.dimse.scu.payload import CannotSend
from node.dimse.upper_layer.messages import encode_message
from node.dimse.upper_layer.requestor import Destination, PeerSilent
from node.storage.archive import Archive
from tests.unit.dimse.test_requestor import IMPLICIT, RELEASE_RP, RELEASE_RQ, accept, peer, read_pdu

HASH = hashlib.sha256(bytes(100)).hexdigest()


def stored(archive: Archive) -> StoredInstance:
    archive.path("a.dcm").parent.mkdir(parents=True, exist_ok=True)
    archive.path("a.dcm").write_bytes(bytes(100))
    return StoredInstance("1.2.3", "1.2.4", IMPLICIT, "a.dcm", 100, HASH, 0, 0, 0, 0.0, b"")


def outgoing(archive: Archive, there: Destination) -> Outgoing:
    settings = PeerSettings(name="pacs", ae_title="PACS", host=there.host, port=there.port)
    return Outgoing(lambda: Dicom(peers=(settings,)), archive, lambda _instance: None)


def slow(connection: socket.socket) -> None:
    """Takes everything, each a little later."""
    read_pdu(connection)
    connection.sendall(accept())
    for message_id in range(1, 1000):
        if read_pdu(connection) == RELEASE_RQ:
            connection.sendall(RELEASE_RP)
            return
        read_pdu(connection)
        command = {"CommandField": 0x8001, "MessageIDBeingRespondedTo": message_id, "Status": 0}
        time.sleep(0.02)
        connection.sendall(encode_message(1, command, None, 0))


def test_all_instances_together_have_one_deadline(tmp_path: Path) -> None:
    archive = Archive(tmp_path)
    instances = [stored(archive)] * 900
    with peer(slow) as there:
        began = time.monotonic()
        with pytest.raises(PeerSilent, match=r"timed-out: PACS at .* took longer"):
            outgoing(archive, there).store("pacs", instances, 0.5)
        assert time.monotonic() - began < 5
    with peer(slow) as there:
        outgoing(archive, there).store("pacs", instances[:3], 20)


def test_what_cannot_be_sent_takes_time_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = Archive(tmp_path)
    tried = []

    def decode(*_: object) -> None:
        tried.append(1)
        time.sleep(0.05)
        raise CannotSend("it cannot be converted")

    monkeypatch.setattr("node.dimse.scu.store.payload", decode)
    with peer(slow) as there, pytest.raises(PeerSilent, match="timed-out"):
        outgoing(archive, there).store("pacs", [stored(archive)] * 200, 0.5)
    assert 0 < len(tried) < 100
    with peer(slow) as there, pytest.raises(NotStored, match="did not store 2 of 2 instances"):
        outgoing(archive, there).store("pacs", [stored(archive)] * 2, 20)


def takes_what_comes(connection: socket.socket) -> None:
    read_pdu(connection)
    connection.sendall(accept())
    for message_id in range(1, 10):
        if read_pdu(connection) == RELEASE_RQ:
            connection.sendall(RELEASE_RP)
            return
        read_pdu(connection)
        command = {"CommandField": 0x8001, "MessageIDBeingRespondedTo": message_id, "Status": 0}
        connection.sendall(encode_message(1, command, None, 0))


@pytest.mark.parametrize("size", [100, 5 << 20])
def test_what_is_damaged_is_not_sent_and_named(tmp_path: Path, size: int) -> None:
    """A small file is read once; a large one is compared before its first byte is sent."""
    archive = Archive(tmp_path)
    good = stored(archive)
    file = archive.path("b.dcm")
    file.write_bytes(bytes(size))
    digest = hashlib.sha256(bytes(size)).hexdigest()
    bad = msgspec.structs.replace(
        good, sop_instance_uid="1.2.9", path="b.dcm", size=size, sha256=digest
    )
    file.write_bytes(bytes(size - 1) + b"\x01")
    met: list[str] = []
    with peer(takes_what_comes) as there:
        settings = PeerSettings(name="pacs", ae_title="PACS", host=there.host, port=there.port)
        sender = Outgoing(
            lambda: Dicom(peers=(settings,)), archive, lambda one: met.append(one.sop_instance_uid)
        )
        with pytest.raises(
            NotStored, match=r"1 of 2 instances: SOP Instance 1\.2\.9: instance-dam"
        ):
            sender.store("pacs", [bad, good], 20)
    assert met == ["1.2.9"]
