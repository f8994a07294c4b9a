"""A-ASSOCIATE-RQ PDUs, looked at before anything is built from them (PS3.8 9.3.2)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from node.dimse.upper_layer.pdus import ABORT, ASSOCIATE_RJ, MalformedPDU, pdu

_FIXED: Final = 68  # protocol version, two titles, reserved bytes
_CONTEXT: Final = 0x20
_CONTEXT_HEAD: Final = 4  # ID and reserved bytes
_ABSTRACT_SYNTAX: Final = 0x30
_TRANSFER_SYNTAX: Final = 0x40
_USER_INFORMATION: Final = 0x50
_USER_IDENTITY: Final = 0x58
_VERIFICATION: Final = b"1.2.840.10008.1.1"
_NAMED: Final = (1, 2)
_SERVICE_PROVIDER: Final = 2


@dataclass(frozen=True, slots=True)
class UserIdentity:
    """Who the user is, as the requestor says (PS3.7 D.3.3.7.1).

    Attributes:
        kind: 1 user name, 2 user name and passcode, 3 Kerberos, 4 SAML, 5 JSON Web Token.
    """

    kind: int
    name: str
    passcode: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class AssociateRequest:
    """Who wants to associate, as the peer puts it: text of unknown origin.

    Attributes:
        verifies: it asks for Verification (C-ECHO) and for nothing else.
    """

    calling_ae: str
    called_ae: str
    identity: UserIdentity | None = None
    verifies: bool = False

    @property
    def user(self) -> str:
        """The user's name; empty if none was given."""
        known = self.identity is not None and self.identity.kind in _NAMED
        return self.identity.name if known and self.identity is not None else ""


class Abort(IntEnum):
    """Reasons of an A-ABORT by the service provider (PS3.8 Table 9-26)."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    INVALID_PARAMETER = 6


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why an association is rejected (PS3.8 Table 9-21).

    Attributes:
        sentence: for the log.
    """

    result: int
    source: int
    reason: int
    sentence: str


def read_associate(body: bytes | memoryview) -> AssociateRequest:
    """Read who asks, and see that the items fill the PDU exactly and propose something.

    Raises:
        MalformedPDU: a length lies, or a presentation context is not one that can be answered.
    """
    if len(body) < _FIXED:
        raise MalformedPDU("The A-ASSOCIATE-RQ is too short.")
    contexts: set[int] = set()
    identity, verifies = None, True
    for kind, value in _items(body, _FIXED):
        if kind == _CONTEXT:
            number, abstract_syntax = _context(value)
            if number in contexts:
                raise MalformedPDU(f"Two presentation contexts have the ID {number}.")
            contexts.add(number)
            verifies &= abstract_syntax == _VERIFICATION
        if kind == _USER_INFORMATION:
            for inner, part in _items(value, 0):
                if inner == _USER_IDENTITY:
                    identity = _identity(bytes(part))
    called, calling = (ae_title(bytes(body[n : n + 16])) for n in (4, 20))
    return AssociateRequest(calling, called, identity, verifies and bool(contexts))


def ae_title(field: bytes) -> str:
    """An AE title as it came, in 16 bytes that may be padded with NUL as well as with blanks.

    What no AE title may have (PS3.5 6.2: a backslash, control characters, letters beyond ASCII)
    becomes a question mark, so that the title can be compared, logged and said to others.
    """
    text = field.strip(b" \0").split(b"\0", 1)[0].decode("latin-1").strip()
    return "".join(char if " " <= char <= "~" and char != "\\" else "?" for char in text)


def _items(body: bytes | memoryview, at: int) -> Iterator[tuple[int, bytes | memoryview]]:
    while at < len(body):
        if len(body) - at < 4:
            raise MalformedPDU("An item of the A-ASSOCIATE-RQ is cut off.")
        kind, length = struct.unpack_from(">BxH", body, at)
        if at + 4 + length > len(body):
            raise MalformedPDU("An item of the A-ASSOCIATE-RQ lies about its length.")
        yield kind, body[at + 4 : at + 4 + length]
        at += 4 + length


def _context(value: bytes | memoryview) -> tuple[int, bytes]:
    """ID and abstract syntax of a presentation context (PS3.8 9.3.2.2).

    Raises:
        MalformedPDU: its ID is even, or it has not one abstract and some transfer syntax.
    """
    number = value[0] if len(value) >= _CONTEXT_HEAD else 0
    if not number % 2:
        raise MalformedPDU(f"A presentation context has the ID {number}, which has to be odd.")
    syntaxes = [(kind, bytes(part).rstrip(b" \0")) for kind, part in _items(value, _CONTEXT_HEAD)]
    abstract = [uid for kind, uid in syntaxes if kind == _ABSTRACT_SYNTAX]
    if len(abstract) != 1 or not abstract[0]:
        raise MalformedPDU(f"Presentation context {number} has not one abstract syntax.")
    if not any(uid for kind, uid in syntaxes if kind == _TRANSFER_SYNTAX):
        raise MalformedPDU(f"Presentation context {number} has no transfer syntax.")
    return number, abstract[0]


def _identity(value: bytes) -> UserIdentity:
    """PS3.7 Table D.3-14."""
    try:
        kind, _, length = struct.unpack_from(">BBH", value, 0)
        name = value[4 : 4 + length]
        (second,) = struct.unpack_from(">H", value, 4 + length)
    except struct.error:
        raise MalformedPDU("The user identity is cut off.") from None
    passcode = value[6 + length : 6 + length + second]
    if len(name) < length or len(passcode) < second:
        raise MalformedPDU("The user identity is cut off.")
    return UserIdentity(kind, name.decode("utf-8", "replace"), passcode)


def abort(reason: Abort) -> bytes:
    """An A-ABORT PDU."""
    return pdu(ABORT, bytes((0, 0, _SERVICE_PROVIDER, reason)))


def reject(rejection: Rejection) -> bytes:
    """An A-ASSOCIATE-RJ PDU."""
    return pdu(ASSOCIATE_RJ, bytes((0, rejection.result, rejection.source, rejection.reason)))
