"""Association PDUs as bytes: their types, their items, and what a requestor sends and reads.

PS3.8 9.3.2 to 9.3.4, PS3.7 D.3.3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from node.core.errors import Permanent

ASSOCIATE_RQ: Final = 0x01
ASSOCIATE_AC: Final = 0x02
ASSOCIATE_RJ: Final = 0x03
DATA: Final = 0x04
RELEASE_RQ: Final = 0x05
RELEASE_RP: Final = 0x06
ABORT: Final = 0x07

HEADER: Final = 6  # bytes before the variable field of a PDU (PS3.8 9.3.1)
FIXED: Final = (
    68  # bytes of A-ASSOCIATE-RQ and -AC before their items: version, AE titles, reserved
)
CONTEXT_HEADER: Final = 4  # bytes of a presentation context before its items: ID, result, reserved
DICOM_APPLICATION_CONTEXT: Final = "1.2.840.10008.3.1.1.1"


class Item(IntEnum):
    """Types of items and sub-items (PS3.8 9.3.2, 9.3.3 and D.1; PS3.7 D.3.3)."""

    APPLICATION_CONTEXT = 0x10
    PRESENTATION_CONTEXT = 0x20
    PRESENTATION_CONTEXT_RESULT = 0x21
    ABSTRACT_SYNTAX = 0x30
    TRANSFER_SYNTAX = 0x40
    USER_INFORMATION = 0x50
    MAXIMUM_LENGTH = 0x51
    IMPLEMENTATION_CLASS_UID = 0x52
    ASYNCHRONOUS_OPERATIONS = 0x53
    ROLE_SELECTION = 0x54
    IMPLEMENTATION_VERSION_NAME = 0x55
    EXTENDED_NEGOTIATION = 0x56
    COMMON_EXTENDED_NEGOTIATION = 0x57
    USER_IDENTITY = 0x58
    USER_IDENTITY_ANSWER = 0x59


_ACCEPTED: Final = 0
_REASONS: Final = {
    (1, 1): "no reason given",
    (1, 2): "application context not supported",
    (1, 3): "calling AE title not recognized",
    (1, 7): "called AE title not recognized",
    (2, 1): "no reason given",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "local limit exceeded",
}
"""Source and reason of a rejection (PS3.8 Table 9-21)."""


class MalformedPDU(Permanent):
    """Bytes that are no PDU of the type that they claim to be."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A presentation context to propose.

    Attributes:
        scp: we take the role of SCP as well, as Storage Commitment reports need (PS3.7 D.3.3.4).
    """

    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]
    scp: bool = False


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the peer answered.

    Attributes:
        contexts: context ID -> transfer syntax, of the accepted ones.
        max_pdu: the peer's maximum length, 0 for no limit.
        extended: SOP Class UID -> service-class-application-information.
    """

    contexts: dict[int, str]
    max_pdu: int
    extended: dict[str, bytes] = field(default_factory=dict)


def associate_rq(
    calling_ae: str,
    called_ae: str,
    proposals: Sequence[Proposal],
    *,
    max_pdu: int,
    implementation_class_uid: str,
    implementation_version_name: str,
    extended: Sequence[tuple[str, bytes]] = (),
) -> bytes:
    """An A-ASSOCIATE-RQ; context IDs are 1, 3, 5, … in the order of the proposals.

    Args:
        calling_ae, called_ae: AE titles; cut to 16 characters.
        proposals: at most 128.
        max_pdu: bytes that the peer may send us in one PDU; 0 for no limit.
        implementation_class_uid, implementation_version_name: of this node (PS3.7 D.3.3.2).
        extended: SOP Class UID and service-class-application-information (PS3.7 D.3.3.5).
    """
    variable = item(Item.APPLICATION_CONTEXT, DICOM_APPLICATION_CONTEXT.encode())
    for number, proposal in enumerate(proposals):
        syntaxes = b"".join(
            item(Item.TRANSFER_SYNTAX, uid.encode()) for uid in proposal.transfer_syntaxes
        )
        abstract = item(Item.ABSTRACT_SYNTAX, proposal.abstract_syntax.encode())
        context = struct.pack(">B3x", 2 * number + 1) + abstract + syntaxes
        variable += item(Item.PRESENTATION_CONTEXT, context)
    user = item(Item.MAXIMUM_LENGTH, struct.pack(">L", max_pdu))
    user += item(Item.IMPLEMENTATION_CLASS_UID, implementation_class_uid.encode())
    for uid in dict.fromkeys(p.abstract_syntax for p in proposals if p.scp):
        user += item(Item.ROLE_SELECTION, struct.pack(">H", len(uid)) + uid.encode() + b"\x00\x01")
    user += item(Item.IMPLEMENTATION_VERSION_NAME, implementation_version_name.encode())
    for uid, information in extended:
        user += item(
            Item.EXTENDED_NEGOTIATION, struct.pack(">H", len(uid)) + uid.encode() + information
        )
    variable += item(Item.USER_INFORMATION, user)
    head = struct.pack(">HH", 1, 0) + _title(called_ae) + _title(calling_ae) + bytes(32)
    return pdu(ASSOCIATE_RQ, head + variable)


def associate_ac(body: bytes) -> Accepted:
    """Read the variable field of an A-ASSOCIATE-AC.

    Raises:
        MalformedPDU: an item does not fit.
    """
    contexts: dict[int, str] = {}
    extended: dict[str, bytes] = {}
    max_pdu = 0
    for kind, value in items(body, FIXED):
        if kind == Item.PRESENTATION_CONTEXT_RESULT and value[2:3] == bytes([_ACCEPTED]):
            for inner, syntax in items(value, CONTEXT_HEADER):
                if inner == Item.TRANSFER_SYNTAX:
                    contexts[value[0]] = syntax.decode("ascii", "replace").strip("\0 ")
        elif kind == Item.USER_INFORMATION:
            for inner, part in items(value):
                if inner == Item.MAXIMUM_LENGTH and len(part) == 4:
                    (max_pdu,) = struct.unpack(">L", part)
                elif inner == Item.EXTENDED_NEGOTIATION and len(part) >= 2:
                    length = 2 + int.from_bytes(part[:2], "big")
                    extended[part[2:length].decode("ascii", "replace")] = part[length:]
    return Accepted(contexts, max_pdu, extended)


def rejection(body: bytes) -> str:
    """Why an association was rejected, in words, from the variable field of an A-ASSOCIATE-RJ."""
    result, source, reason = (body + bytes(4))[1:4]
    words = _REASONS.get((source, reason), f"source {source}, reason {reason}")
    return f"{words} ({'permanent' if result == 1 else 'for the moment'})"


def is_permanent(body: bytes) -> bool:
    """Whether an A-ASSOCIATE-RJ says that trying again is in vain (PS3.8 Table 9-21)."""
    return (body + bytes(2))[1] == 1


def pdu(kind: int, body: bytes) -> bytes:
    """A PDU with its header (PS3.8 9.3.1).

    Args:
        kind: PDU type.
        body: its variable field.
    """
    return struct.pack(">BxL", kind, len(body)) + body


def item(kind: int, value: bytes) -> bytes:
    """An item or sub-item with its header.

    Args:
        kind: a value of `Item`.
        value: its content.
    """
    return struct.pack(">BxH", kind, len(value)) + value


def items(body: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """The items of a PDU, or the sub-items of an item: type and content of each, in order.

    Args:
        body: what contains them.
        offset: where the first one begins.

    Raises:
        MalformedPDU: they do not fill `body` exactly.
    """
    while offset < len(body):
        if len(body) - offset < 4:
            raise MalformedPDU("The PDU ends within the header of an item.")
        kind, length = struct.unpack_from(">BxH", body, offset)
        end = offset + 4 + length
        if end > len(body):
            raise MalformedPDU("The length of an item goes beyond the end of the PDU.")
        yield kind, body[offset + 4 : end]
        offset = end


def _title(ae_title: str) -> bytes:
    return ae_title.encode("ascii", "replace")[:16].ljust(16)
