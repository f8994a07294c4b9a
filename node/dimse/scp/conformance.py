"""Writes the DICOM Conformance Statement from what the running code does (PS3.2 Annex A)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from pydicom.uid import UID
from pydicom.uid import UID_dictionary as _UIDS  # type: ignore[attr-defined]

from node.core import statuses
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
from node.dimse.scp.presentation_contexts import (
    GENERATED_ROOT,
    NATIVE,
    STORAGE_ROOT,
    STORAGE_TRANSFER_SYNTAXES,
    is_storage,
)
from node.dimse.scp.query import query_retrieve
from node.dimse.scp.services import OFFERED, SYNTAXES
from node.dimse.upper_layer import limits
from node.dimse.upper_layer.requestor import ANSWER_SECONDS, MAX_PDU
from node.storage.archive import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

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
        "`rasnode conformance` writes this statement from the running code and its configuration, "
        "in the outline of PS3.2 Annex A. A test checks that this copy is current."
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
        "The node also stores instances of private SOP classes, and of standard ones that are "
        f"newer than this program and whose UID begins with `{STORAGE_ROOT}`. It accepts any "
        f"private abstract syntax except those below `{GENERATED_ROOT}`: such UIDs are generated "
        "at random for instances and name no SOP class. These contexts are answered with "
        "abstract-syntax-not-supported (3)."
    )
    yield _table(("SOP Class", "UID"), _storage_classes())
    yield _table(("Transfer syntax for storage", "UID"), _named(STORAGE_TRANSFER_SYNTAXES))


def _services() -> Iterator[Sequence[str]]:
    yield ("Verification", "Verification SOP Class", _VERIFICATION, "yes", "yes")
    yield ("Storage", "all, see section 10", "", "yes", "yes")
    for uid in OFFERED:
        scu = (
            "yes"
            if uid in query_retrieve.FIND and query_retrieve.FIND[uid] is Model.STUDY
            else "no"
        )
        yield (_service(uid), UID(uid).name, uid, scu, "yes")


def _service(uid: str) -> str:
    if uid in {*query_retrieve.FIND, *query_retrieve.GET, *query_retrieve.MOVE}:
        return "Query/Retrieve"
    names = {
        commitment.SOP_CLASS: "Storage Commitment",
        mpps.PERFORMED_STEP: "Modality Performed Procedure Step",
        mpps.AVAILABILITY: "Instance Availability Notification",
    }
    return names[uid]


def _entity(dicom: Dicom) -> Iterator[str]:
    titles = ", ".join(dicom.called_titles)
    one = "has to be the AE title above" if not dicom.ae_titles else "has to be one of those above"
    called = one if dicom.check_called_ae else "is not checked"
    calling = (
        "any"
        if dicom.accept == "any"
        else "those of configured peers, from their hosts or with their certificates"
    )
    yield _table(
        ("Property", "Value"),
        (
            ("AE titles" if dicom.ae_titles else "AE title", titles),
            ("TCP port", str(dicom.port)),
            ("Application context", "1.2.840.10008.3.1.1.1"),
            ("Implementation Class UID", IMPLEMENTATION_CLASS_UID),
            ("Implementation version name", IMPLEMENTATION_VERSION_NAME),
            ("Maximum PDU that is received", f"{limits.MAXIMUM_PDU} bytes"),
            ("Associations at once", str(dicom.max_associations)),
            ("Operations at once in an association", "1 (no asynchronous window)"),
            ("Calling AE titles", calling),
            ("Called AE title", called),
            ("The A-ASSOCIATE-RQ has to arrive within", f"{limits.ARTIM_SECONDS:.0f} s"),
            ("An association without any request ends after", f"{limits.UNUSED_SECONDS:.0f} s"),
            ("An idle association ends after", f"{limits.IDLE_SECONDS / 3600:.0f} h"),
        ),
    )
    yield (
        "The node opens associations for the C-STORE sub-operations of C-MOVE, to forward "
        "instances, to report storage commitments (as SCP, by role selection), to ask a sender for "
        "its counts (C-FIND, Study Root), and for C-ECHO. On them it receives PDUs of up to "
        f"{MAX_PDU} bytes "
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
        "U: unique, R: required, O: optional key (PS3.4 C.6); P: kept by the node, not read from "
        "instances. All keys are matched and returned at their level and at every level below."
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
    (
        statuses.SUCCESS,
        "The instance is on stable storage; storing the same bytes again changes nothing",
    ),
    (
        statuses.OUT_OF_RESOURCES,
        "Disk full, quota reached, or index not available; may be tried again",
    ),
    (statuses.DATA_SET_MISMATCH, "Command and data set disagree on SOP Class or SOP Instance"),
    (statuses.CANNOT_UNDERSTAND, "No data set, or a UID is missing or invalid; kept in quarantine"),
    (statuses.NOT_AUTHORIZED, "The caller does not have the permission `store`"),
)
_FIND: Final = (
    (statuses.SUCCESS, "Every match was sent"),
    (statuses.PENDING, "A match; every key is supported"),
    (statuses.PENDING_WITH_UNSUPPORTED_KEYS, "A match; unsupported keys are left out"),
    (statuses.CANCEL, "Cancelled by C-CANCEL"),
    (statuses.NOT_AUTHORIZED, "The caller does not have the permission `find`"),
    (statuses.OUT_OF_RESOURCES, "The index is not available; may be tried again"),
    (
        statuses.IDENTIFIER_MISMATCH,
        "Wrong level, missing or wrong unique key, or a value that cannot be read",
    ),
    (statuses.UNABLE_TO_PROCESS, "The identifier cannot be read, or an internal error"),
)
_RETRIEVE: Final = (
    (statuses.SUCCESS, "Every instance was sent; also if nothing matches"),
    (statuses.PENDING, "With counts, after each sub-operation"),
    (
        statuses.SOME_SUBOPERATIONS_FAILED,
        "Some sub-operations failed or had a warning; the failed ones are listed",
    ),
    (statuses.CANCEL, "Cancelled by C-CANCEL; with counts"),
    (statuses.NOT_AUTHORIZED, "The caller does not have the permission `move` or `get`"),
    (statuses.OUT_OF_RESOURCES, "The index is not available; may be tried again"),
    (
        statuses.UNABLE_TO_PERFORM_SUBOPERATIONS,
        "Every sub-operation failed, or the destination cannot be reached",
    ),
    (
        statuses.MOVE_DESTINATION_UNKNOWN,
        "No configured peer has the destination's AE title (C-MOVE)",
    ),
    (statuses.IDENTIFIER_MISMATCH, "Wrong level, or unique keys that do not identify what to send"),
    (statuses.UNABLE_TO_PROCESS, "The identifier cannot be read, or an internal error"),
)
_NORMALIZED: Final = (
    (statuses.SUCCESS, "Accepted"),
    (statuses.INVALID_ATTRIBUTE_VALUE, "An invalid status or UID (MPPS)"),
    (
        statuses.PROCESSING_FAILURE,
        "The index is not available; or, with Error ID 0xA710, the step has ended",
    ),
    (statuses.DUPLICATE_INSTANCE, "The procedure step already exists"),
    (
        statuses.NO_SUCH_INSTANCE,
        "The procedure step is unknown; or not the well-known SOP Instance",
    ),
    (statuses.INVALID_ARGUMENT, "No Transaction UID, no references, or invalid UIDs"),
    (statuses.MISSING_ATTRIBUTE, "The request has no attributes"),
    (statuses.NO_SUCH_ACTION, "An action other than Request Storage Commitment"),
    (
        statuses.NOT_AUTHORIZED,
        "The caller does not have the permission `commit` (for MPPS: `store`)",
    ),
)


def _statuses(known: Iterable[tuple[int, str]]) -> Iterator[Sequence[str]]:
    for status, meaning in sorted(known):
        yield (statuses.shown(status), meaning)


def _storage_classes() -> Iterator[Sequence[str]]:
    classes = [uid for uid, entry in _UIDS.items() if entry[1] == "SOP Class" and is_storage(uid)]
    return _named(classes)


def _named(uids: Iterable[str]) -> Iterator[Sequence[str]]:
    yield from sorted({(UID(uid).name, str(uid)) for uid in uids})


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
