"""What storage commitment says and checks: the request, each instance, the report (PS3.4 J.3)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from node.core.errors import MalformedDataSet
from node.core.records import checked_uid
from node.dicom import scan
from node.dimse.scp.query.encoding import Writer
from node.lifecycle.verification.damage_reporter import expected
from node.storage.archive import Archive
from node.storage.index.peers.commitments import Held
from node.storage.index.search.search import Sendable
from node.storage.integrity import Damage, check_archived

log = logging.getLogger(__name__)

PROCESSING_FAILURE: Final = 0x0110  # PS3.7 Annex C; as a Failure Reason PS3.3 C.14.1.1
NO_SUCH_INSTANCE: Final = 0x0112
CLASS_INSTANCE_CONFLICT: Final = 0x0119

_RETRIEVE_AE: Final = 0x00080054
_REFERENCED_CLASS: Final = 0x00081150
_REFERENCED_INSTANCE: Final = 0x00081155
_TRANSACTION: Final = 0x00081195
_FAILURE_REASON: Final = 0x00081197
_FAILED: Final = 0x00081198
_REFERENCED: Final = 0x00081199

Reference = tuple[str, str]
"""SOP Class UID and SOP Instance UID."""


def asked(encoded: bytes, transfer_syntax_uid: str) -> tuple[str, list[Reference]]:
    """Transaction UID and references of an N-ACTION (PS3.4 Table J.3-1).

    Raises:
        MalformedDataSet: it is no data set, or has no references.
        InvalidUID: one of its UIDs cannot be.
    """
    elements = scan(encoded, transfer_syntax_uid).elements
    transaction = checked_uid(elements.uid(_TRANSACTION) or "", "Transaction UID")
    references = [
        (
            checked_uid(item.uid(_REFERENCED_CLASS) or "", "Referenced SOP Class UID"),
            checked_uid(item.uid(_REFERENCED_INSTANCE) or "", "Referenced SOP Instance UID"),
        )
        for item in elements.items(_REFERENCED)
    ]
    if not references:
        raise MalformedDataSet("The request has no Referenced SOP Sequence.")
    return transaction, list(dict.fromkeys(references))


def failure(
    archive: Archive,
    held: Sequence[Held],
    reference: Reference,
    met: Callable[[Sendable], None],
) -> int | None:
    """Why an instance is not committed; None if its bytes are what came (PS3.3 C.14.1.1).

    Nothing says which of several copies is meant: all of them have to be what came.

    Args:
        met: told of an instance whose file is not what was received.
    """
    if not held:
        return NO_SUCH_INSTANCE
    meant = [one.instance for one in held if one.instance.sop_class_uid == reference[0]]
    if not meant:
        return CLASS_INSTANCE_CONFLICT
    failures = (_failure(archive, instance, met) for instance in meant)
    return next((one for one in failures if one is not None), None)


def _failure(archive: Archive, instance: Sendable, met: Callable[[Sendable], None]) -> int | None:
    """Why one of the copies is not what came; None if it is."""
    try:
        check_archived(archive.path(instance.path), expected(instance))
    except OSError as error:
        log.error("SOP Instance %s cannot be read: %s", instance.sop_instance_uid, error.strerror)
        return PROCESSING_FAILURE
    except Damage:
        met(instance)
        return PROCESSING_FAILURE
    return None


def encode_report(
    transfer_syntax_uid: str,
    transaction_uid: str,
    ae_title: str,
    committed: Iterable[Reference],
    failed: Iterable[tuple[Reference, int]],
) -> bytes:
    """Event Information (PS3.4 Table J.3-2)."""
    writer = Writer(transfer_syntax_uid)

    def reference(pair: Reference) -> bytes:
        return writer.element(_REFERENCED_CLASS, "UI", pair[0].encode()) + writer.element(
            _REFERENCED_INSTANCE, "UI", pair[1].encode()
        )

    parts = [
        writer.element(_RETRIEVE_AE, "AE", ae_title.encode()),
        writer.element(_TRANSACTION, "UI", transaction_uid.encode()),
    ]
    failures = [
        reference(pair) + writer.element(_FAILURE_REASON, "US", reason.to_bytes(2, "little"))
        for pair, reason in failed
    ]
    if failures:
        parts.append(writer.sequence(_FAILED, failures))
    successes = [reference(pair) for pair in committed]
    if successes:
        parts.append(writer.sequence(_REFERENCED, successes))
    return b"".join(parts)
