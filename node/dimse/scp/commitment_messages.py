"""Reads storage commitment requests, checks the instances, and writes the reports (PS3.4 J.3)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from node.core.errors import MalformedDataSet
from node.core.records import checked_uid
from node.core.statuses import CLASS_INSTANCE_CONFLICT, NO_SUCH_INSTANCE, PROCESSING_FAILURE
from node.dicom import scan
from node.dicom.element_writer import Writer
from node.lifecycle.verification.damage_reporter import expected
from node.storage.archive import Archive
from node.storage.index.peers.commitments import Held
from node.storage.index.search.search import Sendable
from node.storage.integrity import Damage, check_archived

log = logging.getLogger(__name__)

_RETRIEVE_AE: Final = 0x00080054
_REFERENCED_CLASS: Final = 0x00081150
_REFERENCED_INSTANCE: Final = 0x00081155
_TRANSACTION: Final = 0x00081195
_FAILURE_REASON: Final = 0x00081197
_FAILED: Final = 0x00081198
_REFERENCED: Final = 0x00081199

Reference = tuple[str, str]
"""SOP Class UID and SOP Instance UID."""


def read_request(encoded: bytes, transfer_syntax_uid: str) -> tuple[str, list[Reference]]:
    """Read the Action Information of an N-ACTION (PS3.4 Table J.3-1).

    Args:
        encoded: the data set.
        transfer_syntax_uid: in which it is encoded.

    Returns:
        Transaction UID and references, without duplicates.

    Raises:
        MalformedDataSet: it is no data set, or has no references.
        InvalidUID: one of its UIDs is invalid.
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


def failure_reason(
    archive: Archive,
    held: Sequence[Held],
    reference: Reference,
    damage_found: Callable[[Sendable], None],
) -> int | None:
    """Why an instance cannot be committed; None if its file has the received bytes.

    A reference does not say which of several copies it means: all of them have to be intact.

    Args:
        archive: where the files are.
        held: the instances that the index has with the referenced SOP Instance UID.
        reference: of the request.
        damage_found: called with an instance whose file is not what was received.

    Returns:
        A Failure Reason (PS3.3 C.14.1.1).
    """
    if not held:
        return NO_SUCH_INSTANCE
    meant = [one.instance for one in held if one.instance.sop_class_uid == reference[0]]
    if not meant:
        return CLASS_INSTANCE_CONFLICT
    failures = (_damage(archive, instance, damage_found) for instance in meant)
    return next((one for one in failures if one is not None), None)


def _damage(
    archive: Archive, instance: Sendable, damage_found: Callable[[Sendable], None]
) -> int | None:
    """The Failure Reason for one of the copies; None if it is intact."""
    try:
        check_archived(archive.path(instance.path), expected(instance))
    except OSError as error:
        log.error(
            "the archived file of SOP Instance %s cannot be read, and is not committed: %s",
            instance.sop_instance_uid,
            error.strerror,
            extra={"instance": instance.sop_instance_uid},
        )
        return PROCESSING_FAILURE
    except Damage:
        damage_found(instance)
        return PROCESSING_FAILURE
    return None


def encode_report(
    transfer_syntax_uid: str,
    transaction_uid: str,
    ae_title: str,
    committed: Iterable[Reference],
    failed: Iterable[tuple[Reference, int]],
) -> bytes:
    """Write the Event Information of an N-EVENT-REPORT (PS3.4 Table J.3-2).

    Args:
        transfer_syntax_uid: Implicit or Explicit VR Little Endian.
        transaction_uid: of the request.
        ae_title: of the node, as Retrieve AE Title.
        committed: instances that are committed.
        failed: instances that are not, with their Failure Reason.
    """
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
