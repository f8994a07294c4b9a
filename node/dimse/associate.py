"""A-ASSOCIATE-RQ PDUs, looked at before anything is built from them (PS3.8 9.3.2)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from node.dimse.limits import CONTEXTS
from node.dimse.upper_layer import ABORT, ASSOCIATE_RJ, MalformedPDU, pdu

_FIXED: Final = 68  # protocol version, two titles, reserved bytes
_CONTEXT: Final = 0x20
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
    """Read who asks, and see that the items fill the PDU exactly and are not too many.

    Raises:
        MalformedPDU: a length lies, or there are more contexts than numbers for them.
    """
    if len(body) < _FIXED:
        raise MalformedPDU("The A-ASSOCIATE-RQ is too short.")
    contexts, identity, verifies = 0, None, True
    for kind, value in _items(body, _FIXED):
        if kind == _CONTEXT:
            contexts += 1
            verifies &= _abstract_syntax(value) == _VERIFICATION
        if kind == _USER_INFORMATION:
            for inner, part in _items(value, 0):
                if inner == _USER_IDENTITY:
                    identity = _identity(bytes(part))
    if contexts > CONTEXTS:
        raise MalformedPDU("The A-ASSOCIATE-RQ has more presentation contexts than there can be.")
    called, calling = (bytes(body[n : n + 16]).decode("latin-1").strip(" \0") for n in (4, 20))
    return AssociateRequest(calling, called, identity, verifies and contexts > 0)


def _items(body: bytes | memoryview, at: int) -> Iterator[tuple[int, bytes | memoryview]]:
    while at < len(body):
        if len(body) - at < 4:
            raise MalformedPDU("An item of the A-ASSOCIATE-RQ is cut off.")
        kind, length = struct.unpack_from(">BxH", body, at)
        if at + 4 + length > len(body):
            raise MalformedPDU("An item of the A-ASSOCIATE-RQ lies about its length.")
        yield kind, body[at + 4 : at + 4 + length]
        at += 4 + length


def _abstract_syntax(context: bytes | memoryview) -> bytes:
    """PS3.8 9.3.2.2.1; what is no item is left to pynetdicom to refuse."""
    length = int.from_bytes(context[6:8], "big")
    return bytes(context[8 : 8 + length]).rstrip(b" \0")


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
