"""Decides which presentation contexts are accepted, with which transfer syntax (PS3.8 9.3.3.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)
from pydicom.uid import UID_dictionary as _UIDS  # type: ignore[attr-defined]
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.presentation import PresentationContext

from node.dimse.upper_layer.pynetdicom_internals import set_roles

ACCEPTANCE = 0x00
ABSTRACT_SYNTAX_NOT_SUPPORTED = 0x03
TRANSFER_SYNTAXES_NOT_SUPPORTED = 0x04

NATIVE: tuple[str, ...] = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
)
_NOT_FOR_IMAGES = (  # transfer syntaxes of other protocols than the DIMSE services
    "1.2.840.10008.1.2.6.",  # RFC 2557 MIME, XML encoding
    "1.2.840.10008.1.2.7.",  # SMPTE ST 2110
)
_STANDARD_ROOT = "1.2.840.10008."
STORAGE_ROOT = "1.2.840.10008.5.1.4.1.1."  # where new storage classes get their UIDs
# pydicom's prefix for UIDs made at random: its owner has defined no SOP class there.
GENERATED_ROOT = "1.2.826.0.1.3680043.8.498."


def _storage_transfer_syntaxes() -> frozenset[str]:
    known = {
        uid
        for uid, entry in _UIDS.items()
        if entry[1] == "Transfer Syntax" and not uid.startswith(_NOT_FOR_IMAGES)
    }
    return frozenset(known | {*NATIVE, DeflatedExplicitVRLittleEndian, RLELossless})


STORAGE_TRANSFER_SYNTAXES = _storage_transfer_syntaxes()
_NOT_STORAGE = ("Commitment", "Directory", "Stored Print")
_STORAGE_CLASSES = frozenset(  # retired ones too
    uid
    for uid, entry in _UIDS.items()
    if entry[1] == "SOP Class"
    and "Storage" in entry[0]
    and not any(word in entry[0] for word in _NOT_STORAGE)
)
_OTHER_CLASSES = frozenset(_UIDS) - _STORAGE_CLASSES


def is_storage(abstract_syntax: str) -> bool:
    """Whether an abstract syntax is a storage SOP class.

    These are the storage SOP classes of the standard, also retired ones and ones that are newer
    than this program, and private SOP classes.
    """
    if abstract_syntax in _STORAGE_CLASSES:
        return True
    if abstract_syntax.startswith(_STANDARD_ROOT):
        return abstract_syntax.startswith(STORAGE_ROOT) and abstract_syntax not in _OTHER_CLASSES
    return bool(abstract_syntax) and not abstract_syntax.startswith(GENERATED_ROOT)


def negotiate(
    requested: Sequence[PresentationContext],
    supported: Sequence[PresentationContext],
    roles: Mapping[str, tuple[bool, bool]] | None = None,
) -> tuple[list[PresentationContext], list[SCP_SCU_RoleSelectionNegotiation]]:
    """Answer the presentation contexts of an A-ASSOCIATE-RQ.

    The first known transfer syntax that the requestor proposes is accepted: the sender has its data
    in it, and the node keeps them so.

    Args:
        requested: as the requestor proposed them.
        supported: services other than storage, with their transfer syntaxes.
        roles: SOP Class UID -> (SCU role, SCP role) that the requestor proposed for itself.

    Returns:
        The answered contexts by ascending ID, and the role selection items of the answer.
    """
    roles = {uid: role for uid, role in (roles or {}).items() if any(role)}
    services: dict[str, frozenset[str]] = {}
    for context in supported:
        known = services.get(str(context.abstract_syntax), frozenset())
        services[str(context.abstract_syntax)] = known | {
            str(uid) for uid in context.transfer_syntax
        }
    answered = [
        _answer(context, services, roles)
        for context in sorted(requested, key=lambda context: context.context_id or 0)
    ]
    accepted = {str(c.abstract_syntax) for c in answered if c.result == ACCEPTANCE}
    both = {str(context.abstract_syntax) for context in supported if context.scp_role}
    answers = [
        _role(uid, proposed, scp=uid not in services or uid in both)
        for uid, proposed in sorted(roles.items())
        if uid in accepted
    ]
    # The standard has no answer that leaves the requestor without a role (PS3.7 D.3.3.4).
    return answered, [answer for answer in answers if answer.scu_role or answer.scp_role]


def _answer(
    requested: PresentationContext,
    services: Mapping[str, frozenset[str]],
    roles: Mapping[str, tuple[bool, bool]],
) -> PresentationContext:
    uid = str(requested.abstract_syntax)
    answer = PresentationContext()
    answer.context_id = requested.context_id
    answer.abstract_syntax = requested.abstract_syntax
    answer.transfer_syntax = [requested.transfer_syntax[0]] if requested.transfer_syntax else []
    storage = uid not in services and is_storage(uid)
    if not storage and uid not in services:
        answer.result = ABSTRACT_SYNTAX_NOT_SUPPORTED
        return answer
    allowed = STORAGE_TRANSFER_SYNTAXES if storage else services[uid]
    chosen = _first_known(requested.transfer_syntax, allowed)
    if chosen is None:
        answer.result = TRANSFER_SYNTAXES_NOT_SUPPORTED
        return answer
    answer.transfer_syntax = [chosen]
    answer.result = ACCEPTANCE
    scu, scp = roles.get(uid, (True, False))  # the requestor is SCU unless it says otherwise
    set_roles(answer, scp=scu, scu=scp and storage)
    return answer


def _role(uid: str, proposed: tuple[bool, bool], *, scp: bool) -> SCP_SCU_RoleSelectionNegotiation:
    item = SCP_SCU_RoleSelectionNegotiation()
    item.sop_class_uid = uid
    item.scu_role = bool(proposed[0])
    item.scp_role = bool(proposed[1]) and scp
    return item


def _first_known(offered: Iterable[str], allowed: frozenset[str]) -> str | None:
    return next((uid for uid in offered if str(uid) in allowed), None)
