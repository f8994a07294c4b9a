"""An association that the node opens, used by blocking calls in the caller's thread.

It has no thread of its own and does not poll: every wait is for the socket and has a deadline.
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
from node.dimse.upper_layer.limits import PDU_SLACK
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
    HEADER,
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

ANSWER_SECONDS: Final = 30.0  # for the connection, and for each PDU
RELEASE_SECONDS: Final = 5.0  # for the answer to our A-RELEASE-RQ
MAX_PDU: Final = 131072  # bytes that a peer may send us in one PDU
LARGEST_MESSAGE: Final = 16 * 1024 * 1024  # bytes of a response's data set
MOST_CONTEXTS: Final = 128  # odd numbers of one byte (PS3.8 9.3.2.2)


class PeerSilent(Retryable):
    """A peer cannot be reached, rejects the association, or does not do what it was asked."""


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
    """Where a peer is, and how to associate with it.

    Attributes:
        called_ae, calling_ae: AE titles of the peer and of the node.
        tls: the client's context; None for plain TCP.
        certificate: a name or fingerprint that the peer's certificate has to have; empty: the
            checks of `tls` are enough.
        seconds: to wait for the connection, and for each PDU.
        deadline: when everything has to be done, by `time.monotonic`.
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

    def time_left(self) -> float:
        """Seconds to wait for the next PDU.

        Raises:
            PeerSilent: the deadline has passed.
        """
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise PeerSilent(f"timed-out: {self} took longer than allowed for everything together")
        return min(self.seconds, left)


class Requestor:
    """An association that the node opens.

    Used by `with`, it is released at the end, or aborted after an exception.

    Args:
        destination: the peer.
        proposals: presentation contexts; those beyond MOST_CONTEXTS are not proposed.
        extended: SOP Class UID and service-class-application-information (PS3.7 D.3.3.5).

    Args:
        largest: bytes of a message's data set.

    Attributes:
        accepted: what the peer accepted.

    Raises:
        PeerSilent: the peer cannot be reached.
        AssociationRejected: the peer rejects the association.
        ServiceNotOffered: it accepts none of the proposed services.
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
        """The accepted contexts of an abstract syntax: transfer syntax -> context ID."""
        return {
            self.accepted.contexts[2 * index + 1]: 2 * index + 1
            for index, proposal in enumerate(self._proposals)
            if proposal.abstract_syntax == abstract_syntax
            and 2 * index + 1 in self.accepted.contexts
        }

    def request(
        self, context_id: int, command: Mapping[str, Value], data: bytes | None = None
    ) -> int:
        """Send a request.

        Args:
            context_id: of an accepted presentation context.
            command: the command set, without Message ID.
            data: the encoded data set; None for none.

        Returns:
            Its Message ID.

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
        """Send a request whose data set is given in pieces.

        Args:
            context_id: of an accepted presentation context.
            command: the command set, without Message ID.
            chunks: the encoded data set.
            length: bytes of all chunks together.

        Returns:
            Its Message ID.

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
        """Answer a request of the peer.

        Args:
            message: the request.
            status: of the response.
            fields: further fields of its command set.

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
        """Wait for the next response to a request.

        Raises:
            PeerSilent: none arrived in time, or the association ended.
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
        """Wait for the next message.

        Raises:
            PeerSilent: none arrived in time, or the association ended.
        """
        while not self._waiting:
            kind, body = self._read()
            if kind == DATA:
                try:
                    self._waiting.extend(self._assembler.feed(body))
                except MalformedMessage as error:
                    raise PeerSilent(
                        f"{self.destination} sends an invalid message: {error}"
                    ) from error
            elif kind == RELEASE_RQ:
                with suppress(PeerSilent):
                    self._send(pdu(RELEASE_RP, bytes(4)))
                raise PeerSilent(f"{self.destination} released the association")
            else:
                raise PeerSilent(f"{self.destination} aborted the association")
        return self._waiting.pop(0)

    def release(self) -> None:
        """Release the association; without an answer, close the connection (PS3.8 9.2.3)."""
        try:
            deadline = min(self.destination.deadline, time.monotonic() + RELEASE_SECONDS)
            self.destination = replace(self.destination, deadline=deadline)
            self._send(pdu(RELEASE_RQ, bytes(4)))
            while (kind := self._read()[0]) in {DATA, RELEASE_RQ}:
                if kind == RELEASE_RQ:  # both sides at once
                    self._send(pdu(RELEASE_RP, bytes(4)))
        except PeerSilent:
            pass  # the association has ended otherwise
        finally:
            self._socket.close()

    def abort(self) -> None:
        """Abort the association (PS3.8 9.3.8)."""
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
                f"{destination} rejects {destination.calling_ae}: {rejection(body)}",
                permanent=is_permanent(body),
            )
        if kind != ASSOCIATE_AC:
            raise PeerSilent(f"{destination} aborted the association, or does not speak DICOM")
        try:
            accepted = associate_ac(body)
        except MalformedPDU as error:
            raise PeerSilent(f"{destination} does not speak DICOM: {error}") from error
        if not accepted.contexts:
            self.abort()
            raise ServiceNotOffered(f"{destination} accepts none of the proposed services")
        return accepted

    def _send(self, data: bytes) -> None:
        try:
            self._socket.settimeout(self.destination.time_left())
            self._socket.sendall(data)
        except OSError as error:
            raise PeerSilent(f"{self.destination} cannot be written to: {_words(error)}") from error

    def _read(self) -> tuple[int, bytes]:
        until = time.monotonic() + self.destination.time_left()
        kind, length = struct.unpack(">BxL", self._exactly(HEADER, until))
        if length > MAX_PDU + PDU_SLACK:
            raise PeerSilent(f"{self.destination} sends a PDU larger than the agreed maximum")
        return kind, self._exactly(length, until)

    def _exactly(self, length: int, until: float) -> bytes:
        parts = bytearray()
        while len(parts) < length:
            try:
                self._socket.settimeout(max(0.001, until - time.monotonic()))
                part = self._socket.recv(length - len(parts))
            except OSError as error:
                raise PeerSilent(f"{self.destination} does not answer: {_words(error)}") from error
            if not part:
                raise PeerSilent(f"{self.destination} closed the connection")
            parts += part
        _acknowledge_at_once(self._socket)
        return bytes(parts)


def _connected(destination: Destination) -> socket.socket:
    try:
        plain = connected(destination.host, destination.port, destination.time_left())
    except NoHostName as error:
        raise PeerUnreachable(f"bad-host-name: {error}; correct the peer's host") from error
    except OSError as error:
        raise PeerUnreachable(f"{destination} cannot be reached: {_words(error)}") from error
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if destination.tls is None:
        return plain
    try:
        plain.settimeout(destination.time_left())
        secured = destination.tls.wrap_socket(plain, server_hostname=destination.host)
    except (OSError, ValueError) as error:  # ValueError: the host is no name for TLS
        plain.close()
        words = (
            _words(error) if isinstance(error, OSError) else "its host is not a host name for TLS"
        )
        raise PeerSilent(f"{destination}: TLS failed: {words}") from error
    except PeerSilent:
        plain.close()
        raise
    found = shown(secured)
    if destination.certificate and not (found and found.is_that(destination.certificate)):
        secured.close()
        fingerprint = found.fingerprint if found else "none"
        raise PeerSilent(
            f"{destination}: TLS failed: its certificate is not that of dicom.peers[].certificate; "
            f"the SHA-256 fingerprint of its certificate is {fingerprint}"
        )
    return secured


def _acknowledge_at_once(connection: socket.socket) -> None:
    """A peer with Nagle's algorithm waits for our acknowledgement, which the kernel would delay."""
    with suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return explained(error)
    return "no answer in time" if isinstance(error, TimeoutError) else error.strerror or str(error)
