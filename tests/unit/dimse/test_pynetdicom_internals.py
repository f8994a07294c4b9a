"""What the node uses of pynetdicom's inside does what the node needs, and is all in one file."""

from __future__ import annotations

import ast
import logging
import re
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType

import pynetdicom
import pytest
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AssociationSocket

from node.core.errors import ConfigError
from node.core.settings.model import Dicom
from node.dimse.scp.presentation_contexts import NATIVE, negotiate
from node.dimse.upper_layer import pynetdicom_internals as internals
from node.dimse.upper_layer.accepted_association import AcceptedAssociation
from node.dimse.upper_layer.access.audit import Audit
from node.dimse.upper_layer.association_server import AssociationServer
from node.dimse.upper_layer.message_service import Outcome, ReadingThread
from node.dimse.upper_layer.messages import C_ECHO_RQ, encode_message
from node.dimse.upper_layer.pdus import (
    ABORT,
    ASSOCIATE_AC,
    DATA,
    RELEASE_RP,
    Proposal,
    associate_rq,
    pdu,
)
from node.dimse.upper_layer.requestor import Destination, Requestor
from tests.running import eventually

NODE = Path(internals.__file__).parents[2]
VERIFICATION = "1.2.840.10008.1.1"
ECHO = {"CommandField": C_ECHO_RQ, "AffectedSOPClassUID": VERIFICATION}
ASSOCIATE = associate_rq(
    "PEER",
    "RASNODE",
    [Proposal(VERIFICATION, NATIVE[:1])],
    max_pdu=16384,
    implementation_class_uid="1.2.3",
    implementation_version_name="TEST",
)
SECONDS = 10.0  # for what takes milliseconds


# ------------------------------------------------------------------------------ one file, one table


def table() -> dict[str, str]:
    """Private names of pynetdicom in the table -> what fails when they change."""
    found = {}
    for line in (internals.__doc__ or "").splitlines():
        if line.startswith("| `"):
            names, _, test = (part.strip() for part in line.strip("| ").split(" | "))
            found |= dict.fromkeys(re.findall(r"[`.](_?\w+)`", names), test)
    return found


def names_in(path: Path) -> set[str]:
    """Names of attributes and functions that a module uses or defines."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    used = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return used | {node.name for node in nodes if isinstance(node, ast.FunctionDef)}


def private_names() -> set[str]:
    """Attributes and methods of the subclassed classes that begin with one underscore."""
    found: set[str] = set()
    for one in (Association, DULServiceProvider, AssociationSocket, PresentationContext):
        made = one.__init__
        assert isinstance(made, FunctionType)
        found |= {*vars(one), *made.__code__.co_names}
    return {name for name in found if re.match("_[a-z]", name)}


def test_every_private_name_that_is_used_is_in_the_table() -> None:
    upper_layer = NODE / "dimse" / "upper_layer"
    for module in ("pynetdicom_internals.py", "accepted_association.py"):
        assert names_in(upper_layer / module) & private_names() <= set(table())


def test_and_is_used_in_no_other_file() -> None:
    private = {name for name in table() if name.startswith("_")}
    assert len(private) == 8
    for path in NODE.rglob("*.py"):
        if path != Path(internals.__file__):
            assert not names_in(path) & private, path


def test_the_tests_of_the_table_are_there() -> None:
    for test in table().values():
        assert (NODE.parent / test).exists(), test


# ---------------------------------------------------------------------------------------- versions


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    internals.check_version()
    monkeypatch.setattr(pynetdicom, "__version__", "3.0.5")
    with pytest.raises(ConfigError, match=r"3\.0\.5 is installed, but the node needs 3\.0\.4"):
        internals.check_version()


def test_the_node_does_not_start_with_another_version(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("dicom: {port: 0}\nhttp: {port: null}\nstorage: {root: data}\n")
    program = (
        "import pynetdicom, sys; pynetdicom.__version__ = '9.9.9'\n"
        f"sys.argv = ['rasnode', 'serve', '-c', {str(config)!r}]\n"
        "from node.cli.main import main; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(NODE.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("rasnode: pynetdicom 9.9.9 is installed, but the node needs 3.0.4: ")
    assert "Traceback" not in ended.stderr


# --------------------------------------------------------------------------------------- behaviour


class NoStorage:
    """Leaves every message to pynetdicom."""

    busy = False

    def run(self, _thread: ReadingThread) -> Outcome:
        return Outcome.OTHER_MESSAGE


class Node:
    """A DICOM port that answers C-ECHO alone."""

    def __init__(self) -> None:
        internals.prepare(negotiate)
        ae = AE(ae_title="RASNODE")
        ae.add_supported_context(VERIFICATION, list(NATIVE))
        self.associations: list[AcceptedAssociation] = []
        self.events: list[str] = []
        self.echo: Callable[[], int] = lambda: 0x0000
        handlers = [
            (evt.EVT_C_ECHO, lambda _event: self.echo()),
            (evt.EVT_CONN_OPEN, lambda event: self.associations.append(event.assoc)),
            (evt.EVT_RELEASED, lambda _event: self.events.append("released")),
            (evt.EVT_ABORTED, lambda _event: self.events.append("aborted")),
        ]
        dicom = Dicom(host="127.0.0.1", port=0)
        self.ae = ae
        self.server = AssociationServer(
            ae, lambda: dicom, handlers, lambda *_: NoStorage(), Audit()
        )

    def requestor(self) -> Requestor:
        where = Destination("127.0.0.1", self.server.number, "RASNODE", "PEER", seconds=SECONDS)
        return Requestor(where, [Proposal(VERIFICATION, NATIVE[:1])])

    @contextmanager
    def associated(self) -> Iterator[socket.socket]:
        """A connection on which an association has just been accepted."""
        with socket.create_connection(("127.0.0.1", self.server.number), SECONDS) as connection:
            connection.sendall(ASSOCIATE)
            assert received(connection)[0] == ASSOCIATE_AC
            yield connection

    def ended(self) -> None:
        """Both threads of the first association end, and its connection is closed."""
        (association, *_) = self.associations
        for thread in (association, association.dul):
            thread.join(SECONDS)
            assert not thread.is_alive()
        assert association._connection.socket.fileno() == -1


def received(connection: socket.socket) -> tuple[int, bytes]:
    """Type and variable field of the next PDU; type 0 at the end of the connection."""
    header = connection.recv(6, socket.MSG_WAITALL)
    if not header:
        return 0, b""
    kind, length = struct.unpack(">BxL", header)
    return kind, connection.recv(length, socket.MSG_WAITALL)


@pytest.fixture
def node() -> Iterator[Node]:
    made = Node()
    yield made
    made.server.close(SECONDS)


def test_requests_are_answered_until_the_peer_releases(node: Node) -> None:
    with node.requestor() as requestor:
        (context,) = requestor.contexts(VERIFICATION).values()
        for _ in range(3):
            response = requestor.response(requestor.request(context, ECHO))
            assert response.command["Status"] == 0x0000
    node.ended()
    assert node.events == ["released"]


def test_a_peer_may_send_requests_before_it_has_the_answer(node: Node) -> None:
    for _ in range(10):
        with socket.create_connection(("127.0.0.1", node.server.number), SECONDS) as connection:
            connection.sendall(ASSOCIATE + encode_message(1, {**ECHO, "MessageID": 1}, None, 0))
            assert received(connection)[0] == ASSOCIATE_AC
            assert received(connection)[0] == DATA
    node.ended()


def test_a_message_may_arrive_in_pieces(node: Node) -> None:
    message = encode_message(1, {**ECHO, "MessageID": 7}, None, 40)
    with node.associated() as connection:
        for at in range(0, len(message), 9):
            connection.sendall(message[at : at + 9])
            time.sleep(0.002)
        assert received(connection)[0] == 0x04
        connection.sendall(pdu(0x05, bytes(4)))
        assert received(connection)[0] == RELEASE_RP
    node.ended()


@pytest.mark.parametrize(
    "sent",
    [
        pdu(0x09, bytes(4)),  # no such type
        pdu(0x01, bytes(80)),  # a second A-ASSOCIATE-RQ
        struct.pack(">BxL", 0x04, 1 << 30),  # larger than the agreed maximum
        struct.pack(">BxL", 0x05, 1 << 10),  # of a fixed size, and larger
    ],
)
def test_a_pdu_that_may_not_arrive_is_answered_with_an_abort(node: Node, sent: bytes) -> None:
    with node.associated() as connection:
        connection.sendall(sent)
        assert received(connection)[0] == ABORT
        assert received(connection)[0] == 0
    node.ended()
    assert node.events == ["aborted"]


def test_a_pdu_that_cannot_be_read_is_answered_with_an_abort(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    with node.associated() as connection:
        connection.sendall(pdu(0x04, b"Doe^J"))
        assert received(connection)[0] == ABORT
    node.ended()
    assert "'PEER' at 127.0.0.1 sent a PDU that cannot be read" in caplog.text
    assert "Doe" not in caplog.text
    (record,) = (one for one in caplog.records if "cannot be read" in one.message)
    assert (record.peer, bool(record.association)) == ("PEER", True)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("last", "event"), [(pdu(ABORT, bytes(4)), "aborted"), (b"", "aborted")])
def test_an_association_ends_when_the_peer_aborts_or_disappears(
    node: Node, last: bytes, event: str
) -> None:
    with node.associated() as connection:
        connection.sendall(last)
    node.ended()
    assert node.events == [event]


def test_the_node_aborts_an_association_that_has_to_end(node: Node) -> None:
    with node.associated() as connection:
        (association,) = node.associations
        association.leave()
        assert received(connection)[0] == ABORT
    node.ended()


def test_an_idle_association_ends(node: Node) -> None:
    node.ae.network_timeout = 0.05
    with node.associated() as connection:
        assert received(connection)[0] == ABORT
    node.ended()


def test_an_error_in_a_handler_leaves_the_association_open(node: Node) -> None:
    def broken() -> int:
        node.echo = lambda: 0x0000
        raise ValueError("Doe^John")

    node.echo = broken
    with node.requestor() as requestor:
        (context,) = requestor.contexts(VERIFICATION).values()
        statuses = [
            requestor.response(requestor.request(context, ECHO)).command["Status"] for _ in range(2)
        ]
    assert statuses == [0x0000, 0x0000]  # pynetdicom answers a C-ECHO whatever its handler does


def test_an_error_in_the_state_machine_ends_the_association_alone(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    with node.associated() as connection, node.requestor() as other:
        first = node.associations[0]

        def broken(_event: str) -> None:
            raise ValueError("Doe^John")

        first.dul.state_machine.do_action = broken
        connection.sendall(encode_message(1, {**ECHO, "MessageID": 1}, None, 0))
        assert received(connection)[0] == ABORT
        node.ended()
        (context,) = other.contexts(VERIFICATION).values()
        assert other.response(other.request(context, ECHO)).command["Status"] == 0x0000
    assert "an error in its Upper Layer: ValueError in broken" in caplog.text
    assert "Doe" not in caplog.text


def test_threads_wait_instead_of_polling(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[str] = []

    step, work = internals.UpperLayerThread.step, internals.EventDrivenAssociation._serve_work
    monkeypatch.setattr(
        internals.UpperLayerThread, "step", lambda self: (turns.append("step"), step(self))[1]
    )
    monkeypatch.setattr(
        internals.EventDrivenAssociation,
        "_serve_work",
        lambda self: (turns.append("work"), work(self))[1],
    )
    with node.associated():
        eventually(lambda: len(turns) >= 3, SECONDS, "the association is served")
        time.sleep(0.1)
        before = len(turns)
        time.sleep(0.5)
        assert len(turns) - before <= 3  # pynetdicom's own loops would have turned 1,000 times
    node.ended()
