"""A-ASSOCIATE-RQ PDUs, looked at before anything is built from them (PS3.8 9.3.2)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from node.dimse.limits import CONTEXTS
from node.dimse.upper_layer import ABORT, ASSOCIATE_RJ, MalformedPDU, pdu

_FIXED: Final = 68  # protocol version, two titles, reserved bytes
_CONTEXT: Final = 0x20
_SERVICE_PROVIDER: Final = 2


@dataclass(frozen=True, slots=True)
class AssociateRequest:
    """Who wants to associate, as the peer puts it: text of unknown origin."""

    calling_ae: str
    called_ae: str


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
    at, contexts = _FIXED, 0
    while at < len(body):
        if len(body) - at < 4:
            raise MalformedPDU("An item of the A-ASSOCIATE-RQ is cut off.")
        kind, length = struct.unpack_from(">BxH", body, at)
        contexts += kind == _CONTEXT
        at += 4 + length
    if at != len(body):
        raise MalformedPDU("An item of the A-ASSOCIATE-RQ lies about its length.")
    if contexts > CONTEXTS:
        raise MalformedPDU("The A-ASSOCIATE-RQ has more presentation contexts than there can be.")
    called, calling = (bytes(body[n : n + 16]).decode("latin-1").strip(" \0") for n in (4, 20))
    return AssociateRequest(calling, called)


def abort(reason: Abort) -> bytes:
    """An A-ABORT PDU."""
    return pdu(ABORT, bytes((0, 0, _SERVICE_PROVIDER, reason)))


def reject(rejection: Rejection) -> bytes:
    """An A-ASSOCIATE-RJ PDU."""
    return pdu(ASSOCIATE_RJ, bytes((0, rejection.result, rejection.source, rejection.reason)))
