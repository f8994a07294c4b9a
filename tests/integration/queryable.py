"""A node's DICOM side in this process, with instances in it, and a peer that takes instances."""

from __future__ import annotations

import gc
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dsutils import decode, encode
from pynetdicom.dul import DULServiceProvider

from node.core.settings.model import Dicom, PeerSettings
from node.dimse.scp.application_entity import StorageSCP
from node.dimse.scp.associations import Associations
from node.dimse.scp.services import Services
from node.dimse.upper_layer.messages import C_CANCEL_RQ, C_FIND_RQ, Message
from node.dimse.upper_layer.pdus import Proposal
from node.dimse.upper_layer.requestor import Destination, Requestor
from node.storage.archive import Archive
from node.storage.index.engine import Index
from node.storage.index.store import Store
from node.storage.receive.instance_receiver import Incoming
from tests.databases import migrated_sqlite
from tests.storing import DirectReception
from tests.unit.dicom.matching.identifiers import encoded, identifier

# pynetdicom, as a client or peer of a test, leaves sockets to the garbage collector.
careless_peers = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


LEAVING_SECONDS = 2.0  # for threads of associations that have ended; idle ones are left alone


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What pynetdicom leaves behind is collected where it was left, not in somebody else's test."""
    yield
    deadline = time.monotonic() + LEAVING_SECONDS
    for thread in threading.enumerate():
        if isinstance(thread, Association | DULServiceProvider):  # holds its socket to its end
            thread.join(max(0.0, deadline - time.monotonic()))
    gc.collect()


CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
EXPLICIT = str(ExplicitVRLittleEndian)
IMPLICIT = str(ImplicitVRLittleEndian)
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
GET = "1.2.840.10008.5.1.4.1.2.2.3"


def instance(series: int, number: int, sop_class: str = CT, **more: Any) -> Dataset:
    """A small instance: study 1.9, series 1.8.<series>, instance 1.7.<series>.<number>."""
    made = Dataset()
    made.SOPClassUID = sop_class
    made.SOPInstanceUID = f"1.7.{series}.{number}"
    made.StudyInstanceUID = "1.9"
    made.SeriesInstanceUID = f"1.8.{series}"
    made.PatientID = "P1"
    made.PatientName = "Doe^John"
    made.StudyDate = "20200102"
    made.Modality = "MR" if sop_class == MR else "CT"
    made.SeriesNumber = str(series)
    made.InstanceNumber = str(number)
    for keyword, value in more.items():
        setattr(made, keyword, value)
    return made


class Queryable:
    """A running node without assembly."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self.archive = Archive(folder)
        self.archive.prepare()
        self.index = Index(migrated_sqlite(folder / "index.db"))
        self.dicom = Dicom(host="127.0.0.1", port=0)
        self.clock = clock
        self._store = Store(self.index)
        self._receiver = DirectReception(self.archive, self._store)
        self._started: list[Callable[[], None]] = []
        self.scp: StorageSCP | None = None

    def start(self, **settings: Any) -> Self:
        """Open the port."""
        self.dicom = self.dicom.model_copy(update=settings)
        services = Services(self.index, self.archive, lambda: self.dicom, self.clock)
        self.scp = StorageSCP(
            self.dicom,
            self._receiver,
            Associations(self._store, process="test", clock=time.time),
            services=services.services,
            handlers=services.handlers,
        )
        services.start()
        self.scp.start()
        scp = self.scp
        self._started = [lambda: scp.stop(2.0), services.stop]
        return self

    def stop(self) -> None:
        """Close the port; the index stays open."""
        for stop in self._started:
            stop()
        self._started = []

    def close(self) -> None:
        """Give everything back."""
        self.stop()
        self.index.close()

    def know(self, *peers: PeerSettings) -> None:
        """Peers from now on, besides the one that asks, who may do everything."""
        tester = PeerSettings(name="tester", ae_title="TESTER", host="127.0.0.1", port=1)
        self.dicom = self.dicom.model_copy(update={"peers": (tester, *peers)})
        if self.scp is not None:
            self.scp.allow(self.dicom)

    def store(self, data_set: Dataset, syntax: str = EXPLICIT, data: bytes | None = None) -> bytes:
        """Take an instance in as if it had been sent; returns its bytes."""
        raw = data
        if raw is None:
            uid = UID(syntax)
            raw = encode(data_set, uid.is_implicit_VR, uid.is_little_endian)
        assert raw is not None
        outcome = self._receiver.store(
            Incoming(data_set.SOPClassUID, data_set.SOPInstanceUID, syntax, bytes(raw))
        )
        assert outcome.status == 0, outcome
        return bytes(raw)

    @property
    def port(self) -> int:
        assert self.scp is not None
        return self.scp.port

    def connect(
        self,
        *proposals: Proposal,
        calling: str = "TESTER",
        extended: Sequence[tuple[str, bytes]] = (),
    ) -> Requestor:
        """Associate as a peer."""
        where = Destination("127.0.0.1", self.port, "RASNODE", calling, seconds=30.0)
        return Requestor(where, proposals, extended)


@dataclass
class Asked:
    """What a request was answered with."""

    responses: list[Message] = field(default_factory=list)

    @property
    def statuses(self) -> list[Any]:
        return [message.command["Status"] for message in self.responses]

    @property
    def final(self) -> dict[str, Any]:
        return self.responses[-1].command

    @property
    def identifiers(self) -> list[Dataset]:
        return [
            decode(BytesIO(message.data), True, True)
            for message in self.responses
            if message.data is not None
        ]


def ask(
    requestor: Requestor,
    level: str | None,
    *,
    model: str = FIND,
    field: int = C_FIND_RQ,
    cancel_after: int = 0,
    data: bytes | None = None,
    command: dict[str, Any] | None = None,
    **keys: Any,
) -> Asked:
    """Send a request with an identifier and collect the responses."""
    context = requestor.contexts(model)[IMPLICIT]
    request = {"AffectedSOPClassUID": model, "CommandField": field, "Priority": 0}
    raw = encoded(identifier(level, **keys)) if data is None else data
    message_id = requestor.request(context, request | (command or {}), raw)
    asked = Asked()
    while True:
        asked.responses.append(requestor.response(message_id))
        if len(asked.responses) == cancel_after:
            cancel = {"CommandField": C_CANCEL_RQ, "MessageIDBeingRespondedTo": message_id}
            requestor.request(context, cancel)
        if asked.statuses[-1] not in {0xFF00, 0xFF01}:
            return asked


@dataclass
class Taken:
    """An instance that the peer got."""

    uid: str
    syntax: str
    data: bytes
    calling: str
    originator: tuple[Any, Any]
    association: int


class Peer:
    """A storage SCP of pynetdicom's on a port of its own."""

    def __init__(self, ae_title: str = "PEER") -> None:
        self.settings = PeerSettings(name=ae_title, ae_title=ae_title, host="127.0.0.1", port=0)
        self.taken: list[Taken] = []
        self.reports: list[tuple[int, Dataset]] = []
        self.answer: Callable[[str], int] = lambda _uid: 0x0000
        self.ae = AE(ae_title)
        self._server: Any = None

    @contextmanager
    def listening(
        self,
        *contexts: tuple[str, Sequence[str]],
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> Iterator[Self]:
        """Accept storage, and reports of storage commitment."""
        for sop_class, syntaxes in contexts:
            self.ae.add_supported_context(sop_class, list(syntaxes))
        self.ae.add_supported_context("1.2.840.10008.1.1")
        self.ae.add_supported_context(
            "1.2.840.10008.1.20.1", [EXPLICIT, IMPLICIT], scu_role=False, scp_role=True
        )
        handlers = [(evt.EVT_C_STORE, self._take), (evt.EVT_N_EVENT_REPORT, self._report)]
        self._server = self.ae.start_server(
            ("127.0.0.1", port), block=False, evt_handlers=handlers, ssl_context=tls
        )
        number = self._server.server_address[1]
        self.settings = self.settings.model_copy(update={"port": number})
        try:
            yield self
        finally:
            self._server.shutdown()

    def _take(self, event: Any) -> int:
        request = event.request
        uid = str(request.AffectedSOPInstanceUID)
        self.taken.append(
            Taken(
                uid=uid,
                syntax=str(event.context.transfer_syntax),
                data=request.DataSet.getvalue(),
                calling=str(event.assoc.requestor.ae_title).strip(),
                originator=(
                    request.MoveOriginatorApplicationEntityTitle,
                    request.MoveOriginatorMessageID,
                ),
                association=id(event.assoc),
            )
        )
        status = self.answer(uid)
        if status < 0:
            event.assoc.abort()
            return 0x0000
        return status

    def _report(self, event: Any) -> tuple[int, None]:
        self.reports.append((event.request.EventTypeID, event.event_information))
        return 0x0000, None
