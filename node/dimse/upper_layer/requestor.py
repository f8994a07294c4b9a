"""An association that this node opens: one blocking conversation in the caller's thread.

No threads of its own and no polling: every wait is a wait on the socket with a deadline, and the
bytes of stored instances go out as they are.
"""

from __future__ import annotations

import math
import select
import socket
import ssl
import struct
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final, Self

from node.core.errors import Retryable
from node.dimse.upper_layer.access.certificates import explained, shown
from node.dimse.upper_layer.access.name_resolution import NoHostName, connected
from node.dimse.upper_layer.messages import (
    C_CANCEL_RQ,
    DATA_SET,
    RESPONSE,
    Assembler,
    MalformedMessage,
    Message,
    Value,
    encode_command,
    encode_message,
    fragments,
    number,
)
from node.dimse.upper_layer.pdus import (
    ABORT,
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    DATA,
    RELEASE_RP,
    RELEASE_RQ,
    Accepted,
    MalformedPDU,
    Proposal,
    associate_ac,
    associate_rq,
    is_permanent,
    pdu,
    rejection,
)
from node.storage.archive import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

ANSWER_SECONDS: Final = 30.0
RELEASE_SECONDS: Final = 5.0
MAX_PDU: Final = 131072  # bytes that a peer may send us in one PDU
LARGEST_MESSAGE: Final = 16 * 1024 * 1024  # bytes of a response's data set
MOST_CONTEXTS: Final = 128  # odd numbers of one byte (PS3.8 9.3.2.2)
_SLACK: Final = 4096  # peers count headers differently


class PeerSilent(Retryable):
    """A peer cannot be reached, refuses the association, or does not do what it was asked."""


class PeerUnreachable(PeerSilent):
    """No connection to a peer can be made."""


class AssociationRejected(PeerSilent):
    """A peer rejects the association (PS3.8 9.3.4).

    Attributes:
        permanent: it would do so again; else it is too busy at the moment.
    """

    def __init__(self, sentence: str, *, permanent: bool) -> None:
        super().__init__(sentence)
        self.permanent = permanent


class ServiceNotOffered(PeerSilent):
    """A peer accepts none of the services that it was asked for."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a peer is, and who we are to it.

    Attributes:
        tls: the client's context; None for plain TCP.
        certificate: a name or fingerprint that the peer's certificate has to have; empty: what
            `tls` checks is enough.
        seconds: how long to wait for the connection, and for each PDU.
        deadline: when all that is wanted of it has to be over, by `time.monotonic`.
    """

    host: str
    port: int
    called_ae: str
    calling_ae: str
    tls: ssl.SSLContext | None = None
    certificate: str = ""
    seconds: float = ANSWER_SECONDS
    deadline: float = math.inf

    def __str__(self) -> str:
        return f"{self.called_ae} at {self.host}:{self.port}"

    def patience(self) -> float:
        """How long to wait for what comes next.

        Raises:
            PeerSilent: the deadline is over.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise PeerSilent(f"timed-out: {self} took longer than it may altogether")
        return min(self.seconds, left)


class Requestor:
    """An established association. Leave it by `with`: released, or aborted after an exception.

    Args:
        largest: bytes of a message's data set.

    Attributes:
        accepted: what the peer agreed to.

    Raises:
        PeerSilent: the peer is away, or does not want us.
        AssociationRejected, ServiceNotOffered: how it said so.
    """

    def __init__(
        self,
        destination: Destination,
        proposals: Sequence[Proposal],
        extended: Sequence[tuple[str, bytes]] = (),
        *,
        largest: int = LARGEST_MESSAGE,
    ) -> None:
        self.destination = destination
        self._proposals = tuple(proposals[:MOST_CONTEXTS])
        self._assembler = Assembler(largest)
        self._waiting: list[Message] = []
        self._last_id = 0
        self._socket = _connected(destination)
        try:
            self.accepted = self._associate(extended)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.release()
        else:
            self.abort()

    def contexts(self, abstract_syntax: str) -> dict[str, int]:
        """Transfer syntaxes that the peer accepted for an abstract syntax, with their context."""
        return {
            self.accepted.contexts[2 * index + 1]: 2 * index + 1
            for index, proposal in enumerate(self._proposals)
            if proposal.abstract_syntax == abstract_syntax
            and 2 * index + 1 in self.accepted.contexts
        }

    def request(
        self, context_id: int, command: Mapping[str, Value], data: bytes | None = None
    ) -> int:
        """Send a request; returns its Message ID.

        Raises:
            PeerSilent: it cannot be sent.
        """
        self._last_id = self._last_id % 0xFFFF + 1
        whole = {**command, "MessageID": self._last_id}
        self._send(encode_message(context_id, whole, data, self.accepted.max_pdu))
        return self._last_id

    def request_with(
        self, context_id: int, command: Mapping[str, Value], chunks: Iterable[bytes], length: int
    ) -> int:
        """Send a request whose data set comes in pieces; returns its Message ID.

        Raises:
            PeerSilent: it cannot be sent.
        """
        self._last_id = self._last_id % 0xFFFF + 1
        encoded = encode_command(
            {**command, "MessageID": self._last_id, "CommandDataSetType": DATA_SET}
        )
        largest = self.accepted.max_pdu
        head = b"".join(fragments(context_id, [encoded], len(encoded), largest, command=True))
        for part in fragments(context_id, chunks, length, largest):
            self._send(head + part)
            head = b""
        return self._last_id

    def cancel(self, context_id: int, message_id: int) -> None:
        """Ask the peer to stop answering a request (C-CANCEL-RQ, PS3.7 9.3.2.3).

        Raises:
            PeerSilent: it cannot be sent.
        """
        command: dict[str, Value] = {
            "CommandField": C_CANCEL_RQ,
            "MessageIDBeingRespondedTo": message_id,
        }
        self._send(encode_message(context_id, command, None, self.accepted.max_pdu))

    def respond(
        self, message: Message, status: int, fields: Mapping[str, Value] | None = None
    ) -> None:
        """Answer a request of the peer's.

        Raises:
            PeerSilent: it cannot be sent.
        """
        command: dict[str, Value] = {
            "CommandField": (number(message.command, "CommandField") or 0) | RESPONSE,
            "MessageIDBeingRespondedTo": number(message.command, "MessageID") or 0,
            "Status": status,
            **(fields or {}),
        }
        encoded = encode_message(message.context_id, command, None, self.accepted.max_pdu)
        self._send(encoded)

    def response(self, message_id: int) -> Message:
        """The next response to a request.

        Raises:
            PeerSilent: none came in time, or the association ended.
        """
        while True:
            message = self.receive()
            if number(message.command, "MessageIDBeingRespondedTo") == message_id:
                return message

    def ready(self, seconds: float) -> bool:
        """Whether something comes from the peer within so many seconds."""
        if self._waiting or (isinstance(self._socket, ssl.SSLSocket) and self._socket.pending()):
            return True
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(max(0.0, seconds) * 1000))

    def receive(self) -> Message:
        """The next message.

        Raises:
            PeerSilent: none came in time, or the association ended.
        """
        while not self._waiting:
            kind, body = self._read()
            if kind == DATA:
                try:
                    self._waiting.extend(self._assembler.feed(body))
                except MalformedMessage as error:
                    raise PeerSilent(f"{self.destination} sends nonsense: {error}") from error
            elif kind == RELEASE_RQ:
                with suppress(PeerSilent):
                    self._send(pdu(RELEASE_RP, bytes(4)))
                raise PeerSilent(f"{self.destination} released the association")
            else:
                raise PeerSilent(f"{self.destination} ended the association")
        return self._waiting.pop(0)

    def release(self) -> None:
        """End the association in good order, as far as the peer lets us (PS3.8 9.2.3)."""
        try:
            deadline = min(self.destination.deadline, time.monotonic() + RELEASE_SECONDS)
            self.destination = replace(self.destination, deadline=deadline)
            self._send(pdu(RELEASE_RQ, bytes(4)))
            while (kind := self._read()[0]) in {DATA, RELEASE_RQ}:
                if kind == RELEASE_RQ:  # both sides at once
                    self._send(pdu(RELEASE_RP, bytes(4)))
        except PeerSilent:
            pass  # there is no association any more, which is what was wanted
        finally:
            self._socket.close()

    def abort(self) -> None:
        """End the association at once (PS3.8 9.3.8)."""
        with suppress(OSError):
            self._socket.settimeout(1.0)
            self._socket.sendall(pdu(ABORT, bytes(4)))
        self._socket.close()

    def _associate(self, extended: Sequence[tuple[str, bytes]]) -> Accepted:
        destination = self.destination
        self._send(
            associate_rq(
                destination.calling_ae,
                destination.called_ae,
                self._proposals,
                max_pdu=MAX_PDU,
                implementation_class_uid=IMPLEMENTATION_CLASS_UID,
                implementation_version_name=IMPLEMENTATION_VERSION_NAME,
                extended=extended,
            )
        )
        kind, body = self._read()
        if kind == ASSOCIATE_RJ:
            raise AssociationRejected(
                f"{destination} refuses {destination.calling_ae}: {rejection(body)}",
                permanent=is_permanent(body),
            )
        if kind != ASSOCIATE_AC:
            raise PeerSilent(f"{destination} does not speak DICOM, or aborted")
        try:
            accepted = associate_ac(body)
        except MalformedPDU as error:
            raise PeerSilent(f"{destination} does not speak DICOM: {error}") from error
        if not accepted.contexts:
            self.abort()
            raise ServiceNotOffered(f"{destination} accepts none of the services asked for")
        return accepted

    def _send(self, data: bytes) -> None:
        try:
            self._socket.settimeout(self.destination.patience())
            self._socket.sendall(data)
        except OSError as error:
            raise PeerSilent(f"{self.destination} takes nothing: {_words(error)}") from error

    def _read(self) -> tuple[int, bytes]:
        until = time.monotonic() + self.destination.patience()
        kind, length = struct.unpack(">BxL", self._exactly(6, until))
        if length > MAX_PDU + _SLACK:
            raise PeerSilent(f"{self.destination} sends a PDU larger than was agreed")
        return kind, self._exactly(length, until)

    def _exactly(self, length: int, until: float) -> bytes:
        parts = bytearray()
        while len(parts) < length:
            try:
                self._socket.settimeout(max(0.001, until - time.monotonic()))
                part = self._socket.recv(length - len(parts))
            except OSError as error:
                raise PeerSilent(f"{self.destination} is silent: {_words(error)}") from error
            if not part:
                raise PeerSilent(f"{self.destination} closed the connection")
            parts += part
        _acknowledge_at_once(self._socket)
        return bytes(parts)


def _connected(destination: Destination) -> socket.socket:
    try:
        plain = connected(destination.host, destination.port, destination.patience())
    except NoHostName as error:
        raise PeerUnreachable(f"bad-host-name: {error}; correct the peer's host") from error
    except OSError as error:
        raise PeerUnreachable(f"{destination} cannot be reached: {_words(error)}") from error
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if destination.tls is None:
        return plain
    try:
        plain.settimeout(destination.patience())
        secured = destination.tls.wrap_socket(plain, server_hostname=destination.host)
    except (OSError, ValueError) as error:  # ssl.SSLError is the one, a name for no host the other
        plain.close()
        words = _words(error) if isinstance(error, OSError) else "its host name is none for TLS"
        raise PeerSilent(f"{destination} and TLS: {words}") from error
    except PeerSilent:
        plain.close()
        raise
    found = shown(secured)
    if destination.certificate and not (found and found.is_that(destination.certificate)):
        secured.close()
        fingerprint = found.fingerprint if found else "none"
        raise PeerSilent(
            f"{destination} and TLS: its certificate is not the one that "
            f"dicom.peers[].certificate asks for; its SHA-256 fingerprint is {fingerprint}"
        )
    return secured


def _acknowledge_at_once(connection: socket.socket) -> None:
    """A peer with Nagle waits for our ACK; the kernel forgets that we do not want to delay it."""
    with suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return explained(error)
    return "no answer in time" if isinstance(error, TimeoutError) else error.strerror or str(error)
