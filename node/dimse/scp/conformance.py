"""The DICOM Conformance Statement, written from what the running code does (PS3.2 Annex A)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from pydicom.uid import UID
from pydicom.uid import UID_dictionary as _UIDS  # type: ignore[attr-defined]

from node.core.query_keys import BY_LEVEL, DERIVED, UNIQUE_KEY, Attribute, Level
from node.core.settings.model import Dicom
from node.core.version import VERSION
from node.dicom.matching import Model
from node.dicom.matching.identifier import is_required
from node.dicom.matching.key_conditions import kind_of_matching
from node.dimse.scp import commitment, mpps
from node.dimse.scp.conformance_sentences import (
    CHARACTER_SETS,
    EMPTY_MATCHES,
    EMPTY_NEVER_MATCHES,
    EXTENDED_NEGOTIATION,
    FLOW,
    MATCHING,
    OVERVIEW,
    SECURITY,
    STORAGE,
    STORAGE_COMMITMENT,
    TRANSFORMATIONS,
)
from node.dimse.scp.contexts import (
    GENERATED_ROOT,
    NATIVE,
    STORAGE_ROOT,
    STORAGE_TRANSFER_SYNTAXES,
    is_storage,
)
from node.dimse.scp.query import find, operations, retrieve
from node.dimse.scp.services import OFFERED, SYNTAXES
from node.dimse.upper_layer import limits
from node.dimse.upper_layer.access import permissions
from node.dimse.upper_layer.requestor import ANSWER_SECONDS, MAX_PDU
from node.storage.archive import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from node.storage.ingest import checks

_VERIFICATION: Final = "1.2.840.10008.1.1"


def statement(dicom: Dicom) -> str:
    """The statement in Markdown.

    Args:
        dicom: the settings of the DICOM port; they set titles, port and limits.
    """
    return "\n".join(
        line.rstrip() for part in _parts(dicom) for line in (*part.strip().splitlines(), "")
    )


def _parts(dicom: Dicom) -> Iterator[str]:
    yield f"# DICOM Conformance Statement of rasnode {VERSION}"
    yield (
        "Made by `rasnode conformance` from the running code and its configuration, after the "
        "outline of PS3.2 Annex A. A test keeps this copy in step with the code."
    )
    yield "## 1 Overview"
    yield OVERVIEW
    yield _table(("Service", "SOP Class", "UID", "SCU", "SCP"), _services())
    yield "## 2 Implementation model"
    yield FLOW
    yield "## 3 Application entity"
    yield from _entity(dicom)
    yield "## 4 Storage"
    yield STORAGE
    yield _table(("Status", "Meaning"), _statuses(_STORE))
    yield from _query_retrieve(dicom)
    yield "## 6 Storage Commitment, MPPS, Instance Availability"
    yield STORAGE_COMMITMENT
    yield _table(("Status", "Meaning"), _statuses(_NORMALIZED))
    yield "## 7 Support of character sets"
    yield CHARACTER_SETS
    yield "## 8 Transformations"
    yield TRANSFORMATIONS
    yield "## 9 Security"
    yield SECURITY
    yield "## 10 Annex: storage SOP classes and transfer syntaxes"
    yield (
        "Besides those of the table, instances of every private SOP class are taken, and of "
        f"standard ones whose UID begins with `{STORAGE_ROOT}` that are newer than this "
        "program. A private abstract syntax is thus accepted without being known, except below "
        f"`{GENERATED_ROOT}`: UIDs there are made for instances at random, and name no SOP class; "
        "the context is answered abstract-syntax-not-supported (3)."
    )
    yield _table(("SOP Class", "UID"), _storage_classes())
    yield _table(("Transfer syntax for storage", "UID"), _named(STORAGE_TRANSFER_SYNTAXES))


def _services() -> Iterator[Sequence[str]]:
    yield ("Verification", "Verification SOP Class", _VERIFICATION, "yes", "yes")
    yield ("Storage", "all, see section 10", "", "yes", "yes")
    for uid in OFFERED:
        scu = "yes" if uid in operations.FIND and operations.FIND[uid] is Model.STUDY else "no"
        yield (_service(uid), UID(uid).name, uid, scu, "yes")


def _service(uid: str) -> str:
    if uid in {*operations.FIND, *operations.GET, *operations.MOVE}:
        return "Query/Retrieve"
    names = {
        commitment.SOP_CLASS: "Storage Commitment",
        mpps.PERFORMED_STEP: "Modality Performed Procedure Step",
        mpps.AVAILABILITY: "Instance Availability Notification",
    }
    return names[uid]


def _entity(dicom: Dicom) -> Iterator[str]:
    called = "has to be ours" if dicom.check_called_ae else "is not checked"
    calling = (
        "any"
        if dicom.accept == "any"
        else "those of the configured peers, from their hosts or with their certificates"
    )
    yield _table(
        ("Property", "Value"),
        (
            ("AE title", dicom.ae_title),
            ("TCP port", str(dicom.port)),
            ("Application context", "1.2.840.10008.3.1.1.1"),
            ("Implementation Class UID", IMPLEMENTATION_CLASS_UID),
            ("Implementation version name", IMPLEMENTATION_VERSION_NAME),
            ("Maximum PDU that is received", f"{limits.MAXIMUM_PDU} bytes"),
            ("Associations at once", str(dicom.max_associations)),
            ("Operations at once in an association", "1 (no asynchronous window)"),
            ("Calling AE titles", calling),
            ("Called AE title", called),
            ("A-ASSOCIATE-RQ has to come within", f"{limits.ARTIM_SECONDS:.0f} s"),
            ("An association that asks for nothing ends after", f"{limits.UNUSED_SECONDS:.0f} s"),
            ("An idle association ends after", f"{limits.IDLE_SECONDS / 3600:.0f} h"),
        ),
    )
    yield (
        "It opens associations for C-STORE sub-operations of C-MOVE, for forwarding, to report "
        "storage commitments (as SCP, by role selection), to ask a sender for its counts "
        f"(C-FIND, Study Root), and for C-ECHO. It then receives PDUs of up to {MAX_PDU} bytes "
        f"and waits {ANSWER_SECONDS:.0f} s for an answer."
    )
    yield _table(
        ("Transfer syntax of every service but storage", "UID"), _named((*SYNTAXES, *NATIVE))
    )
    yield "Explicit VR Big Endian is accepted for Verification and Storage only."


def _query_retrieve(dicom: Dicom) -> Iterator[str]:
    yield "## 5 Query/Retrieve"
    yield "### 5.1 Matching"
    yield MATCHING.format(empty=EMPTY_MATCHES if dicom.empty_matches else EMPTY_NEVER_MATCHES)
    yield "### 5.2 Extended negotiation"
    yield EXTENDED_NEGOTIATION
    yield "### 5.3 Keys"
    yield (
        "U: unique, R: required, O: optional key (PS3.4 C.6); P: kept by the node, not taken from "
        "instances. All are matched and returned at their level and at every level below."
    )
    for level in Level:
        yield f"#### {level}"
        yield _table(("Attribute", "Tag", "VR", "Key", "Matching"), _keys(level))
    yield "### 5.4 Statuses"
    yield _table(("C-FIND", "Meaning"), _statuses(_FIND))
    yield _table(("C-MOVE, C-GET", "Meaning"), _statuses(_RETRIEVE))
    yield (
        "Failed responses carry Error Comment, and Offending Element where one element is wrong; "
        "the association stays."
    )


def _keys(level: Level) -> Iterator[Sequence[str]]:
    derived = [attribute for attribute in DERIVED if attribute.level is level]
    for attribute in (*BY_LEVEL[level], *derived):
        tag = f"({attribute.tag >> 16:04X},{attribute.tag & 0xFFFF:04X})"
        yield (
            attribute.keyword,
            tag,
            attribute.vr,
            _kind(attribute),
            kind_of_matching(attribute.vr),
        )


def _kind(attribute: Attribute) -> str:
    if attribute.keyword == UNIQUE_KEY[Level.PATIENT]:
        return "U; R in Study Root"
    if attribute.keyword in UNIQUE_KEY.values():
        return "U"
    if attribute in DERIVED:
        return "O, P"
    return "R" if is_required(attribute, Model.STUDY) else "O"


_STORE: Final = (
    (checks.SUCCESS, "The instance is on stable storage; the same bytes again change nothing"),
    (checks.OUT_OF_RESOURCES, "Disk full, quota, or the index is away; may be tried again"),
    (checks.DATA_SET_MISMATCH, "Command and data set disagree on SOP Class or Instance"),
    (checks.CANNOT_UNDERSTAND, "No data set, or a UID is missing or impossible; kept apart"),
    (permissions.NOT_AUTHORIZED, "`store` is not among what the caller may do"),
)
_FIND: Final = (
    (operations.SUCCESS, "Every match was sent"),
    (find.PENDING, "A match; every key is supported"),
    (find.PENDING_WITH_UNSUPPORTED_KEYS, "A match; keys that are not supported are left out"),
    (operations.CANCEL, "Cancelled by C-CANCEL"),
    (permissions.NOT_AUTHORIZED, "`find` is not among what the caller may do"),
    (operations.OUT_OF_RESOURCES, "The index is away; may be tried again"),
    (0xA900, "Wrong level, missing or wrong unique key, or a value that cannot be understood"),
    (operations.UNABLE_TO_PROCESS, "The identifier is no data set, or an internal error"),
)
_RETRIEVE: Final = (
    (operations.SUCCESS, "Every instance was sent; also if nothing matches"),
    (retrieve.PENDING, "With counts, after each sub-operation"),
    (retrieve.SOME_FAILED, "Some failed or were taken with a warning; failed ones are listed"),
    (operations.CANCEL, "Cancelled by C-CANCEL; with counts"),
    (permissions.NOT_AUTHORIZED, "`move` or `get` is not among what the caller may do"),
    (operations.OUT_OF_RESOURCES, "The index is away; may be tried again"),
    (retrieve.UNABLE_TO_PERFORM, "Every sub-operation failed, or the destination is away"),
    (retrieve.DESTINATION_UNKNOWN, "No configured peer has the destination's AE title (C-MOVE)"),
    (0xA900, "Wrong level, or unique keys that do not say what to send"),
    (operations.UNABLE_TO_PROCESS, "The identifier is no data set, or an internal error"),
)
_NORMALIZED: Final = (
    (commitment.SUCCESS, "Taken"),
    (mpps.INVALID_ATTRIBUTE_VALUE, "A status or UID that cannot be (MPPS)"),
    (mpps.PROCESSING_FAILURE, "The index is away; or the step has ended, with Error ID 0xA710"),
    (mpps.DUPLICATE_INSTANCE, "The procedure step exists already"),
    (mpps.NO_SUCH_INSTANCE, "The procedure step is unknown; not the well-known SOP Instance"),
    (commitment.INVALID_ARGUMENT, "No transaction, no references, or impossible UIDs"),
    (mpps.MISSING_ATTRIBUTE, "No attributes at all"),
    (commitment.NO_SUCH_ACTION, "Another action than Request Storage Commitment"),
    (
        permissions.NOT_AUTHORIZED,
        "`commit` (or for MPPS `store`) is not among what the caller may do",
    ),
)


def _statuses(known: Iterable[tuple[int, str]]) -> Iterator[Sequence[str]]:
    for status, meaning in sorted(known):
        yield (f"0x{status:04X}", meaning)


def _storage_classes() -> Iterator[Sequence[str]]:
    classes = [uid for uid, entry in _UIDS.items() if entry[1] == "SOP Class" and is_storage(uid)]
    return _named(classes)


def _named(uids: Iterable[str]) -> Iterator[Sequence[str]]:
    yield from sorted({(UID(uid).name, str(uid)) for uid in uids})


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
