"""C-STORE requests and responses as command sets (PS3.7 9.3.1, E.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from node.core.statuses import SUCCESS
from node.dimse.upper_layer.messages import (
    C_STORE_RQ,
    NO_DATA_SET,
    RESPONSE,
    Value,
    decode_command,
    encode_command,
    encode_message,
    number,
    text,
)

_ELEMENT: Final = 8  # bytes of tag and length
_GROUP_LENGTH: Final = _ELEMENT + 4
_MESSAGE_ID: Final = 0x0110
_SOP_INSTANCE_UID: Final = 0x1000
_LONGEST_UID: Final = 64

_read_element: Final = struct.Struct("<HHL").unpack_from
_read_length: Final = struct.Struct("<L").unpack_from
_read_number: Final = struct.Struct("<H").unpack_from
_number: Final = struct.Struct("<H").pack
_frame: Final = struct.Struct(">BxLLBB").pack  # of a P-DATA-TF PDU with one value (PS3.8 9.3.5)


class StoreRequest(NamedTuple):
    """A C-STORE-RQ.

    Attributes:
        sop_class_uid, sop_instance_uid: as in the command set, unchecked.
    """

    context_id: int
    message_id: int
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True)
class StoreAnswer:
    """What the response says.

    Attributes:
        comment: the Error Comment; empty for none.
    """

    status: int
    comment: str = ""


class StoreCommand(NamedTuple):
    """The fields of a C-STORE-RQ's command set; the message ID is None if it has none."""

    message_id: int | None
    sop_class_uid: str
    sop_instance_uid: str


class CommandReader:
    """Reads the command sets of one association.

    A sender's requests differ only in message ID and SOP Instance UID: of a command set that is
    like the one before, only these two are read.
    """

    def __init__(self) -> None:
        self._head = (
            b""  # of the last one: its bytes before the message ID, without the group length
        )
        self._middle = b""  # its bytes from there to the length of the SOP Instance UID
        self._id = 0  # where the message ID is
        self._uid = 0  # where the SOP Instance UID is
        self._sop_class_uid = ""

    def read(self, encoded: bytes) -> StoreCommand | None:
        """The fields of a command set; None if it is no C-STORE-RQ with a data set.

        Raises:
            MalformedMessage: it is cut off, or has no command field.
        """
        at = self._uid
        if (
            at
            and len(encoded) >= at
            and encoded[_GROUP_LENGTH : self._id] == self._head
            and encoded[self._id + 2 : at - 4] == self._middle
            and len(encoded) == at + _read_length(encoded, at - 4)[0]
        ):
            uid = encoded[at:].decode("ascii", "replace").strip("\0 ")
            return StoreCommand(_read_number(encoded, self._id)[0], self._sop_class_uid, uid)
        command = decode_command(encoded)
        if (
            command["CommandField"] != C_STORE_RQ
            or command.get("CommandDataSetType") == NO_DATA_SET
        ):
            return None
        read = StoreCommand(
            number(command, "MessageID"),
            text(command, "AffectedSOPClassUID"),
            text(command, "AffectedSOPInstanceUID"),
        )
        self._remember(encoded, read)
        return read

    def _remember(self, encoded: bytes, read: StoreCommand) -> None:
        self._uid = 0
        places: dict[int, int] = {}
        at = 0
        while at < len(encoded):
            group, element, length = _read_element(encoded, at)
            at += _ELEMENT
            if group or element in places or (element == _MESSAGE_ID and length != 2):
                return
            places[element] = at
            at += length
        before, last = places.get(_MESSAGE_ID), places.get(_SOP_INSTANCE_UID)
        usual = places.get(0) == _ELEMENT and max(places) == _SOP_INSTANCE_UID
        if usual and before is not None and last is not None and before < last:
            self._head = encoded[_GROUP_LENGTH:before]
            self._middle = encoded[before + 2 : last - 4]
            self._sop_class_uid = read.sop_class_uid
            self._id, self._uid = before, last


def stored(request: StoreRequest) -> bytes:
    """The C-STORE-RSP with status 0x0000, as PDUs."""
    uid = request.sop_instance_uid
    if not uid.isascii() or len(uid) > _LONGEST_UID:
        return response(request, StoreAnswer(SUCCESS))
    before, after = _around(request.sop_class_uid, len(uid))
    padding = b"\0" * (len(uid) % 2)
    length = len(before) + 2 + len(after) + len(uid) + len(padding) + 2
    frame = _frame(4, length + 4, length, request.context_id, 3)
    message_id = _number(request.message_id)
    return b"".join((frame, before, message_id, after, uid.encode("ascii"), padding))


@lru_cache(maxsize=1024)
def _around(sop_class_uid: str, uid_length: int) -> tuple[bytes, bytes]:
    """The command set of a C-STORE-RSP with status 0x0000: its bytes before the message ID, and
    those between it and the SOP Instance UID."""
    whole = encode_command(_command(sop_class_uid, 0, SUCCESS, "1" * uid_length))
    (class_length,) = _read_length(whole, _GROUP_LENGTH + 4)
    at = _GROUP_LENGTH + _ELEMENT + class_length + _ELEMENT + 2 + _ELEMENT
    return whole[:at], whole[at + 2 : len(whole) - uid_length - uid_length % 2]


def response(request: StoreRequest, answer: StoreAnswer) -> bytes:
    """A C-STORE-RSP as PDUs.

    Args:
        request: the request that it answers.
        answer: status and Error Comment.
    """
    command = _command(
        request.sop_class_uid, request.message_id, answer.status, request.sop_instance_uid
    )
    if answer.comment:
        command["ErrorComment"] = answer.comment
    return encode_message(request.context_id, command, None, 0)


def _command(
    sop_class_uid: str, message_id: int, status: int, sop_instance_uid: str
) -> dict[str, Value]:
    return {
        "AffectedSOPClassUID": sop_class_uid,
        "CommandField": C_STORE_RQ | RESPONSE,
        "MessageIDBeingRespondedTo": message_id,
        "CommandDataSetType": NO_DATA_SET,
        "Status": status,
        "AffectedSOPInstanceUID": sop_instance_uid,
    }
