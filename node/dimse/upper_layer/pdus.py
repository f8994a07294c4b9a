"""Association PDUs of a requestor, as bytes (PS3.8 9.3.2 to 9.3.4, PS3.7 D.3.3)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from node.core.errors import Permanent

ASSOCIATE_RQ: Final = 0x01
ASSOCIATE_AC: Final = 0x02
ASSOCIATE_RJ: Final = 0x03
DATA: Final = 0x04
RELEASE_RQ: Final = 0x05
RELEASE_RP: Final = 0x06
ABORT: Final = 0x07

_APPLICATION_CONTEXT: Final = "1.2.840.10008.3.1.1.1"
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
    """A PDU that is none."""


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
    """An A-ASSOCIATE-RQ; context IDs are 1, 3, 5, … in the order of the proposals."""
    variable = _item(0x10, _APPLICATION_CONTEXT.encode())
    for number, proposal in enumerate(proposals):
        syntaxes = b"".join(_item(0x40, uid.encode()) for uid in proposal.transfer_syntaxes)
        abstract = _item(0x30, proposal.abstract_syntax.encode())
        variable += _item(0x20, struct.pack(">B3x", 2 * number + 1) + abstract + syntaxes)
    user = _item(0x51, struct.pack(">L", max_pdu)) + _item(0x52, implementation_class_uid.encode())
    for uid in dict.fromkeys(p.abstract_syntax for p in proposals if p.scp):
        user += _item(0x54, struct.pack(">H", len(uid)) + uid.encode() + b"\x00\x01")
    user += _item(0x55, implementation_version_name.encode())
    for uid, information in extended:
        user += _item(0x56, struct.pack(">H", len(uid)) + uid.encode() + information)
    variable += _item(0x50, user)
    head = struct.pack(">HH", 1, 0) + _title(called_ae) + _title(calling_ae) + bytes(32)
    return pdu(ASSOCIATE_RQ, head + variable)


def associate_ac(body: bytes) -> Accepted:
    """Read the variable field of an A-ASSOCIATE-AC.

    Raises:
        MalformedPDU: it is cut off.
    """
    contexts: dict[int, str] = {}
    extended: dict[str, bytes] = {}
    max_pdu = 0
    for kind, value in _items(body, 68):
        if kind == 0x21 and len(value) >= 4 and value[2] == _ACCEPTED:
            for inner, syntax in _items(value, 4):
                if inner == 0x40:
                    contexts[value[0]] = syntax.decode("ascii", "replace").strip("\0 ")
        elif kind == 0x50:
            for inner, part in _items(value, 0):
                if inner == 0x51 and len(part) == 4:
                    (max_pdu,) = struct.unpack(">L", part)
                elif inner == 0x56 and len(part) >= 2:
                    length = 2 + int.from_bytes(part[:2], "big")
                    extended[part[2:length].decode("ascii", "replace")] = part[length:]
    return Accepted(contexts, max_pdu, extended)


def rejection(body: bytes) -> str:
    """Why an association was rejected, in words."""
    result, source, reason = (body + bytes(4))[1:4]
    words = _REASONS.get((source, reason), f"source {source}, reason {reason}")
    return f"{words} ({'permanent' if result == 1 else 'for the moment'})"


def is_permanent(body: bytes) -> bool:
    """Whether an A-ASSOCIATE-RJ says that trying again is in vain (PS3.8 Table 9-21)."""
    return (body + bytes(2))[1] == 1


def pdu(kind: int, body: bytes) -> bytes:
    """A PDU with its header (PS3.8 9.3.1)."""
    return struct.pack(">BxL", kind, len(body)) + body


def _item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(body)) + body


def _items(body: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    while offset < len(body):
        if len(body) - offset < 4:
            raise MalformedPDU("An item is cut off.")
        kind, length = struct.unpack_from(">BxH", body, offset)
        end = offset + 4 + length
        if end > len(body):
            raise MalformedPDU("An item lies about its length.")
        yield kind, body[offset + 4 : end]
        offset = end


def _title(ae_title: str) -> bytes:
    return ae_title.encode("ascii", "replace")[:16].ljust(16)
