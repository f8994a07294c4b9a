"""Reads and checks an A-ASSOCIATE-RQ before pynetdicom sees it (PS3.8 9.3.2)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from node.dimse.upper_layer.pdus import (
    ABORT,
    ASSOCIATE_RJ,
    CONTEXT_HEADER,
    FIXED,
    Item,
    MalformedPDU,
    items,
    pdu,
)

_VERIFICATION: Final = b"1.2.840.10008.1.1"
_BY_NAME: Final = (1, 2)  # kinds of user identity that have a user name
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
    """What an A-ASSOCIATE-RQ says about the peer. Anyone can send any text.

    Attributes:
        verifies: it proposes Verification (C-ECHO) and nothing else.
    """

    calling_ae: str
    called_ae: str
    identity: UserIdentity | None = None
    verifies: bool = False

    @property
    def user(self) -> str:
        """The user's name; empty if none was given."""
        known = self.identity is not None and self.identity.kind in _BY_NAME
        return self.identity.name if known and self.identity is not None else ""


class AbortReason(IntEnum):
    """Reasons of an A-ABORT by the service provider (PS3.8 Table 9-26)."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    INVALID_PARAMETER = 6


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why an association is rejected (PS3.8 Table 9-21).

    Attributes:
        result, source, reason: for the peer.
        sentence: for the log; the peer is its subject.
    """

    result: int
    source: int
    reason: int
    sentence: str


def read_associate(body: bytes) -> AssociateRequest:
    """Read the variable field of an A-ASSOCIATE-RQ.

    Raises:
        MalformedPDU: its items do not fill it exactly, or a presentation context cannot be
            answered.
    """
    if len(body) < FIXED:
        raise MalformedPDU("The A-ASSOCIATE-RQ is too short.")
    contexts: set[int] = set()
    identity, verifies = None, True
    for kind, value in items(body, FIXED):
        if kind == Item.PRESENTATION_CONTEXT:
            number, abstract_syntax = _context(value)
            if number in contexts:
                raise MalformedPDU(f"Two presentation contexts have the ID {number}.")
            contexts.add(number)
            verifies &= abstract_syntax == _VERIFICATION
        if kind == Item.USER_INFORMATION:
            for inner, part in items(value):
                if inner == Item.USER_IDENTITY:
                    identity = _identity(part)
    called, calling = (ae_title(body[n : n + 16]) for n in (4, 20))
    return AssociateRequest(calling, called, identity, verifies and bool(contexts))


def ae_title(field: bytes) -> str:
    """Read an AE title from its 16 bytes, which may be padded with NUL as well as with blanks.

    What an AE title may not have (PS3.5 6.2: a backslash, control characters, letters beyond ASCII)
    becomes a question mark, so that the title can be compared, logged and sent on.
    """
    text = field.strip(b" \0").split(b"\0", 1)[0].decode("latin-1").strip()
    return "".join(char if " " <= char <= "~" and char != "\\" else "?" for char in text)


def _context(value: bytes) -> tuple[int, bytes]:
    """ID and abstract syntax of a presentation context (PS3.8 9.3.2.2).

    Raises:
        MalformedPDU: its ID is even, or it does not have exactly one abstract syntax and at least
            one transfer syntax.
    """
    number = value[0] if len(value) >= CONTEXT_HEADER else 0
    if not number % 2:
        raise MalformedPDU(f"A presentation context has the ID {number}, which is not odd.")
    syntaxes = [(kind, part.rstrip(b" \0")) for kind, part in items(value, CONTEXT_HEADER)]
    abstract = [uid for kind, uid in syntaxes if kind == Item.ABSTRACT_SYNTAX]
    if len(abstract) != 1 or not abstract[0]:
        raise MalformedPDU(f"Presentation context {number} does not have one abstract syntax.")
    if not any(uid for kind, uid in syntaxes if kind == Item.TRANSFER_SYNTAX):
        raise MalformedPDU(f"Presentation context {number} has no transfer syntax.")
    return number, abstract[0]


def _identity(value: bytes) -> UserIdentity:
    """Read a User Identity sub-item (PS3.7 Table D.3-14)."""
    try:
        kind, _, length = struct.unpack_from(">BBH", value, 0)
        name = value[4 : 4 + length]
        (second,) = struct.unpack_from(">H", value, 4 + length)
    except struct.error:
        raise MalformedPDU("The user identity is incomplete.") from None
    passcode = value[6 + length : 6 + length + second]
    if len(name) < length or len(passcode) < second:
        raise MalformedPDU("The user identity is incomplete.")
    return UserIdentity(kind, name.decode("utf-8", "replace"), passcode)


def abort(reason: AbortReason) -> bytes:
    """An A-ABORT PDU."""
    return pdu(ABORT, bytes((0, 0, _SERVICE_PROVIDER, reason)))


def reject(rejection: Rejection) -> bytes:
    """An A-ASSOCIATE-RJ PDU."""
    return pdu(ASSOCIATE_RJ, bytes((0, rejection.result, rejection.source, rejection.reason)))
