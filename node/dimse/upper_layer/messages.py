"""DIMSE messages as bytes: command sets, and P-DATA-TF PDUs (PS3.7 Annex E, PS3.8 9.3.5).

They are for what is sent and read without pynetdicom's objects: streamed responses, and C-STORE
requests with stored bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from node.core.errors import Permanent

C_STORE_RQ: Final = 0x0001
C_GET_RQ: Final = 0x0010
C_FIND_RQ: Final = 0x0020
C_MOVE_RQ: Final = 0x0021
C_ECHO_RQ: Final = 0x0030
N_EVENT_REPORT_RQ: Final = 0x0100
C_CANCEL_RQ: Final = 0x0FFF
RESPONSE: Final = 0x8000  # added to the command field of the request

NO_DATA_SET: Final = 0x0101
DATA_SET: Final = 0x0001

_COMMAND: Final = 0x01
_LAST: Final = 0x02
_PDV_HEADER: Final = 6
_UNLIMITED: Final = 131072  # bytes a PDU when the peer sets no limit
_BATCH: Final = 262144  # bytes written at once

Value = str | int | tuple[int, ...]
Command = dict[str, Value]

_FIELDS: dict[str, tuple[int, str]] = {
    "AffectedSOPClassUID": (0x0002, "UI"),
    "RequestedSOPClassUID": (0x0003, "UI"),
    "CommandField": (0x0100, "US"),
    "MessageID": (0x0110, "US"),
    "MessageIDBeingRespondedTo": (0x0120, "US"),
    "MoveDestination": (0x0600, "AE"),
    "Priority": (0x0700, "US"),
    "CommandDataSetType": (0x0800, "US"),
    "Status": (0x0900, "US"),
    "OffendingElement": (0x0901, "AT"),
    "ErrorComment": (0x0902, "LO"),
    "ErrorID": (0x0903, "US"),
    "AffectedSOPInstanceUID": (0x1000, "UI"),
    "RequestedSOPInstanceUID": (0x1001, "UI"),
    "EventTypeID": (0x1002, "US"),
    "ActionTypeID": (0x1008, "US"),
    "NumberOfRemainingSuboperations": (0x1020, "US"),
    "NumberOfCompletedSuboperations": (0x1021, "US"),
    "NumberOfFailedSuboperations": (0x1022, "US"),
    "NumberOfWarningSuboperations": (0x1023, "US"),
    "MoveOriginatorApplicationEntityTitle": (0x1030, "AE"),
    "MoveOriginatorMessageID": (0x1031, "US"),
}
_BY_ELEMENT = {element: (keyword, vr) for keyword, (element, vr) in _FIELDS.items()}
_IN_ORDER = sorted(_FIELDS, key=lambda keyword: _FIELDS[keyword][0])
_MAX_COMMENT = 64  # characters of Error Comment (PS3.7 Table E.1-1)


class MalformedMessage(Permanent):
    """Bytes that are no DIMSE message."""


@dataclass(frozen=True, slots=True)
class Message:
    """A whole DIMSE message.

    Attributes:
        data: the encoded data set; None if there is none.
    """

    context_id: int
    command: Command
    data: bytes | None


def encode_command(command: Mapping[str, Value]) -> bytes:
    """A command set in Implicit VR Little Endian with its group length (PS3.7 6.3.1)."""
    body = b"".join(
        _element(keyword, command[keyword]) for keyword in _IN_ORDER if keyword in command
    )
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


def _element(keyword: str, value: Value) -> bytes:
    element, vr = _FIELDS[keyword]
    if vr == "US":
        raw = struct.pack("<H", value)
    elif vr == "AT":
        tags = value if isinstance(value, tuple) else ()
        raw = b"".join(struct.pack("<HH", tag >> 16, tag & 0xFFFF) for tag in tags)
    else:
        text = str(value)[:_MAX_COMMENT]
        raw = text.encode("ascii", "replace")
        raw += (b"\0" if vr == "UI" else b" ") * (len(raw) % 2)
    return struct.pack("<HHL", 0, element, len(raw)) + raw


def decode_command(encoded: bytes) -> Command:
    """Read the fields of a command set; unknown ones are left out.

    Raises:
        MalformedMessage: it is incomplete, or has no command field.
    """
    command: Command = {}
    offset = 0
    try:
        while offset < len(encoded):
            group, element, length = struct.unpack_from("<HHL", encoded, offset)
            offset += 8
            raw = encoded[offset : offset + length]
            offset += length
            if group != 0 or element not in _BY_ELEMENT or not length:
                continue
            keyword, vr = _BY_ELEMENT[element]
            command[keyword] = _value(raw, vr)
    except struct.error:
        raise MalformedMessage("The command set is incomplete.") from None
    if offset != len(encoded) or "CommandField" not in command:
        raise MalformedMessage("The command set is incomplete or has no Command Field.")
    return command


def _value(raw: bytes, vr: str) -> Value:
    if vr == "US":
        return int(struct.unpack("<H", raw)[0])
    if vr == "AT":
        return tuple(group << 16 | element for group, element in struct.iter_unpack("<HH", raw))
    return raw.decode("ascii", "replace").strip("\0 ")


def number(command: Command, keyword: str) -> int | None:
    """A numeric field of a command set; None if it is missing.

    Args:
        command: from `decode_command`.
        keyword: of the field.
    """
    value = command.get(keyword)
    return value if isinstance(value, int) else None


def text(command: Command, keyword: str) -> str:
    """A text field of a command set; empty if it is missing.

    Args:
        command: from `decode_command`.
        keyword: of the field.
    """
    value = command.get(keyword)
    return value if isinstance(value, str) else ""


def pdu(context_id: int, fragment: bytes, *, command: bool, last: bool) -> bytes:
    """A P-DATA-TF PDU with one presentation data value (PS3.8 9.3.5.1).

    Args:
        context_id: of the presentation context.
        fragment: of a command set or data set.
        command: which of both.
        last: it is the last fragment.
    """
    flags = (_COMMAND if command else 0) | (_LAST if last else 0)
    length = len(fragment) + 2
    return struct.pack(">BBLLBB", 4, 0, length + 4, length, context_id, flags) + fragment


def room(max_pdu: int) -> int:
    """Bytes of a message in one PDU of `max_pdu` bytes at most; 0: no limit (PS3.8 D.1)."""
    return max(1, (max_pdu or _UNLIMITED) - _PDV_HEADER)


def encode_message(
    context_id: int, command: Mapping[str, Value], data: bytes | None, max_pdu: int
) -> bytes:
    """A message as PDUs. Command Data Set Type is set.

    Args:
        context_id: of the presentation context.
        command: the command set.
        data: the encoded data set; None for none.
        max_pdu: the peer's maximum length; 0 for no limit.
    """
    kind = NO_DATA_SET if data is None else DATA_SET
    whole = encode_command({**command, "CommandDataSetType": kind})
    parts = list(fragments(context_id, [whole], len(whole), max_pdu, command=True))
    if data is not None:
        parts += fragments(context_id, [data], len(data), max_pdu)
    return b"".join(parts)


def fragments(
    context_id: int,
    chunks: Iterable[bytes],
    length: int,
    max_pdu: int,
    *,
    command: bool = False,
) -> Iterator[bytes]:
    """Split a command set or data set into PDUs; yields several PDUs at once.

    Args:
        context_id: of the presentation context.
        chunks: the bytes, in any pieces.
        length: bytes of all chunks together; an empty data set becomes one empty fragment.
        max_pdu: the peer's maximum length; 0 for no limit.
        command: they are a command set.
    """
    size = room(max_pdu)
    left = length
    pending = b""
    batch: list[bytes] = []
    for chunk in chunks:
        pending = pending + chunk if pending else chunk
        view = memoryview(pending)
        while len(view) >= size or (left and len(view) == left):
            fragment = view[:size]
            left -= len(fragment)
            batch.append(pdu(context_id, bytes(fragment), command=command, last=not left))
            view = view[size:]
            if len(batch) * size >= _BATCH:
                yield b"".join(batch)
                batch = []
        pending = bytes(view)
    if not length:
        batch.append(pdu(context_id, b"", command=command, last=True))
    if batch:
        yield b"".join(batch)


class Assembler:
    """Assembles messages from presentation data values.

    Args:
        largest: bytes of the largest data set that is accepted.
    """

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._context_id = 0
        self._command = bytearray()
        self._decoded: Command | None = None
        self._data = bytearray()

    def feed(self, body: bytes) -> Iterator[Message]:
        """Read the variable field of a P-DATA-TF PDU; yields each message that it completes.

        Raises:
            MalformedMessage: a length is wrong, or the message is too large.
        """
        offset = 0
        while offset < len(body):
            if len(body) - offset < _PDV_HEADER:
                raise MalformedMessage("A presentation data value is incomplete.")
            length, context_id, flags = struct.unpack_from(">LBB", body, offset)
            end = offset + 4 + length
            if length < 2 or end > len(body):
                raise MalformedMessage(
                    "The length of a presentation data value goes beyond its PDU."
                )
            found = self._fragment(context_id, flags, body[offset + _PDV_HEADER : end])
            offset = end
            if found is not None:
                yield found

    def _fragment(self, context_id: int, flags: int, fragment: bytes) -> Message | None:
        self._context_id = context_id
        last = bool(flags & _LAST)
        if flags & _COMMAND:
            self._command += fragment
            if len(self._command) > self._largest:
                raise MalformedMessage("The command set is too large.")
            if not last:
                return None
            self._decoded = decode_command(bytes(self._command))
            if self._decoded.get("CommandDataSetType") != NO_DATA_SET:
                return None
            return self._whole(None)
        self._data += fragment
        if len(self._data) > self._largest:
            raise MalformedMessage("The data set is too large.")
        return self._whole(bytes(self._data)) if last else None

    def _whole(self, data: bytes | None) -> Message:
        if self._decoded is None:
            raise MalformedMessage("A data set was sent without a command set.")
        message = Message(self._context_id, self._decoded, data)
        self._command.clear()
        self._data.clear()
        self._decoded = None
        return message
