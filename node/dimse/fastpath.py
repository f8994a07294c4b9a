"""C-STORE requests, read below pynetdicom's state machine.

While an association is established and nothing else is under way on it, its P-DATA-TF PDUs are
read here (PS3.8 9.3.5, PS3.7 9.1.1): fragments go straight from the socket into one reused buffer,
and the response is written as bytes. Whatever is not a C-STORE request stays unread, for
pynetdicom to read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Generic, TypeVar

from node.dimse.intake import Intake
from node.dimse.limits import COMMAND_SET, MAXIMUM_PDU, PDU_SLACK
from node.dimse.messages import (
    C_STORE_RQ,
    NO_DATA_SET,
    RESPONSE,
    Command,
    MalformedMessage,
    Value,
    decode_command,
    encode_message,
    number,
    text,
)
from node.dimse.upper_layer import DATA
from node.dimse.wire import BUFFER, ConnectionLost, TooSlow, Wire

_HEADER: Final = 6  # bytes of a PDU's header, and of a presentation data value's
_COMMAND: Final = 0x01
_LAST: Final = 0x02

TIntake = TypeVar("TIntake", bound=Intake)


class Turn(Enum):
    """Whose turn it is after the fast path has done what it can."""

    WAIT = auto()  # nothing more has come
    ORDINARY = auto()  # what comes next is for the state machine
    INVALID = auto()  # the peer broke the protocol: abort (PS3.8 Evt19)
    LOST = auto()  # the connection is gone (Evt17)


class _ProtocolError(Exception):
    """What came cannot come here."""


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """A C-STORE-RQ.

    Attributes:
        sop_class_uid, sop_instance_uid: as the command says, unchecked.
    """

    context_id: int
    message_id: int
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True)
class StoreAnswer:
    """What the response says."""

    status: int
    comment: str = ""


class FastPath(Generic[TIntake]):
    """The C-STORE requests of one association.

    Args:
        contexts: ID of each accepted context in which we store -> its transfer syntax.
        open_intake: what takes a request's data set in.
        serve: makes the data set durable and says what to answer.
    """

    def __init__(
        self,
        wire: Wire,
        contexts: Mapping[int, str],
        open_intake: Callable[[StoreRequest], TIntake],
        serve: Callable[[StoreRequest, TIntake], StoreAnswer],
    ) -> None:
        self._wire = wire
        self._contexts = contexts
        self._open_intake = open_intake
        self._serve = serve
        self._left = 0  # bytes of the PDU that the last message ended in
        self.busy = False

    def run(self, proceed: Callable[[], bool], linger: Callable[[], bool]) -> Turn:
        """Serve requests for as long as they come.

        Args:
            proceed: asked while there is more to read: whether to go on.
            linger: asked when there is not: waits a while; whether something has come.
        """
        try:
            while True:
                self.busy = True
                if not self._one():
                    self._give_back()
                    return Turn.ORDINARY
                self.busy = False
                more = self._left or self._wire.pending
                if not (proceed() if more else linger()):
                    self._give_back()
                    return Turn.WAIT
        except (_ProtocolError, MalformedMessage, TooSlow):
            return Turn.INVALID
        except ConnectionLost:
            return Turn.LOST
        finally:
            self.busy = False

    def _give_back(self) -> None:
        if self._left:
            self._wire.put_back(struct.pack(">BxL", DATA, self._left))
            self._left = 0

    def _one(self) -> bool:
        """Serve the next request; False if something else comes next, of which nothing is read."""
        request = self._request()
        if request is None:
            return False
        intake = self._open_intake(request)
        try:
            if not self._read_data_set(request.context_id, intake):
                return False
            answer = self._serve(request, intake)
        finally:
            intake.close()
        self._wire.send(_response(request, answer))
        return True

    def _request(self) -> StoreRequest | None:
        encoded, context_id, length, left = self._peek_command()
        if encoded is None:
            return None
        command = decode_command(encoded)
        if command["CommandField"] != C_STORE_RQ or _without_data_set(command):
            return None
        message_id = number(command, "MessageID")
        syntax = self._contexts.get(context_id)
        if message_id is None or syntax is None:
            raise _ProtocolError
        self._wire.skip(length)
        self._left = left
        return StoreRequest(
            context_id,
            message_id,
            text(command, "AffectedSOPClassUID"),
            text(command, "AffectedSOPInstanceUID"),
            syntax,
        )

    def _peek_command(self) -> tuple[bytes | None, int, int, int]:
        """Look at the next command set, however it is cut into fragments and PDUs.

        Returns:
            Command set (None if no P-DATA comes next), its context, how many bytes it takes on the
            wire, and how many are left of its last PDU.
        """
        wire, at, left = self._wire, 0, self._left
        command = b""
        while True:
            if not left:
                kind, left = _pdu_header(wire.peek(at + _HEADER), at)
                if kind != DATA:
                    return None, 0, 0, 0
                at += _HEADER
            size, context_id, flags = _value_header(wire.peek(at + _HEADER), at, left)
            at += _HEADER
            if not flags & _COMMAND or len(command) + size > COMMAND_SET or at + size > BUFFER:
                raise _ProtocolError
            command += wire.peek(at + size)[at:]
            at += size
            left -= _HEADER + size
            if flags & _LAST:
                return command, context_id, at, left

    def _read_data_set(self, context_id: int, intake: TIntake) -> bool:
        """Read to the last fragment; False if another PDU than P-DATA comes in between."""
        wire = self._wire
        while True:
            if not self._left:
                kind, left = _pdu_header(wire.peek(_HEADER), 0)
                if kind != DATA:
                    return False
                wire.skip(_HEADER)
                self._left = left
            size, found_id, flags = _value_header(wire.peek(_HEADER), 0, self._left)
            if flags & _COMMAND or found_id != context_id:
                raise _ProtocolError
            wire.skip(_HEADER)
            intake.read(wire, size)
            self._left -= _HEADER + size
            if flags & _LAST:
                return True


def _pdu_header(data: memoryview, at: int) -> tuple[int, int]:
    kind, length = struct.unpack_from(">BxL", data, at)
    if kind == DATA and not _HEADER <= length <= MAXIMUM_PDU + PDU_SLACK:
        raise _ProtocolError
    return kind, length


def _value_header(data: memoryview, at: int, left: int) -> tuple[int, int, int]:
    if left < _HEADER:
        raise _ProtocolError
    length, context_id, flags = struct.unpack_from(">LBB", data, at)
    if not 2 <= length <= left - 4:
        raise _ProtocolError
    return length - 2, context_id, flags


def _without_data_set(command: Command) -> bool:
    return command.get("CommandDataSetType") == NO_DATA_SET


def _response(request: StoreRequest, answer: StoreAnswer) -> bytes:
    command: dict[str, Value] = {
        "AffectedSOPClassUID": request.sop_class_uid,
        "CommandField": C_STORE_RQ | RESPONSE,
        "MessageIDBeingRespondedTo": request.message_id,
        "Status": answer.status,
        "AffectedSOPInstanceUID": request.sop_instance_uid,
    }
    if answer.comment:
        command["ErrorComment"] = answer.comment
    return encode_message(request.context_id, command, None, 0)
