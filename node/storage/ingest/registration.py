"""Reading the header of a data set for the index: one pass, when it is received.

Pure: C-STORE, import and reindex use the same functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
from isal import isal_zlib
from pydicom.datadict import keyword_for_tag

from node.assemble.frames.headers import describe, encode_header
from node.completion.header_counts import announced, concatenation
from node.core.errors import MalformedDataSet, Permanent
from node.core.query_keys import ATTRIBUTES, BY_TAG
from node.core.records import checked_uid
from node.dicom import (
    Buffer,
    Elements,
    HeaderTemplate,
    Scanned,
    cached,
    encoding_of,
    read_table,
    scan,
)
from node.dicom.deflated import header_of
from node.dicom.scanner import DEFLATED
from node.storage.integrity import sha256_of

_MAX_TEXT = 10240  # characters, the longest of LT (PS3.5 6.2); the archive keeps the whole
_MAX_ITEMS = 50  # of a sequence that the index keeps

_SOP_CLASS_UID = 0x00080016
_SOP_INSTANCE_UID = 0x00080018
_STUDY_INSTANCE_UID = 0x0020000D
_SERIES_INSTANCE_UID = 0x0020000E
_UIDS = frozenset({_SOP_CLASS_UID, _SOP_INSTANCE_UID, _STUDY_INSTANCE_UID, _SERIES_INSTANCE_UID})


class Mismatch(Permanent):
    """Command and data set disagree on SOP Class or Instance (PS3.4 B.2.3, status 0xA900)."""


class Registration(msgspec.Struct, frozen=True):
    """What was read of a data set. Fields as in `node.core.records.InstanceRecord`."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    sha256: str
    pixel_offset: int | None
    pixel_length: int | None
    attributes: dict[str, Any]
    header: bytes
    crc32: int | None = None


def register(
    data_set: Buffer,
    transfer_syntax_uid: str,
    *,
    sop_class_uid: str | None = None,
    sop_instance_uid: str | None = None,
    alike: HeaderTemplate | None = None,
    sha256: Callable[[], str] | None = None,
) -> Registration:
    """Read what index and assembly need of a data set.

    Args:
        data_set: as it was received, without preamble and meta information.
        transfer_syntax_uid: of its encoding.
        sop_class_uid: what the C-STORE command said; None: there was no command.
        sop_instance_uid: likewise.
        alike: headers that were read before and may be similar: reading takes less time then.
        sha256: returns the data set's SHA-256, if another thread computes it.

    Raises:
        MalformedDataSet: it is not a complete data set in that transfer syntax.
        InvalidUID: one of the four UIDs is missing or cannot name a file.
        Mismatch: the data set is not the instance that the command announced.
    """
    if transfer_syntax_uid == DEFLATED:
        scanned = Scanned(header_of(data_set))
    else:
        scanned = (scan if alike is None else alike.scan)(data_set, transfer_syntax_uid)
    elements = scanned.elements
    found = _checked(elements, sop_class_uid, sop_instance_uid)
    return Registration(
        **found,
        sha256=sha256() if sha256 else sha256_of(data_set),
        pixel_offset=scanned.pixel_offset,
        pixel_length=scanned.pixel_length,
        attributes=kept_attributes(elements),
        header=encode_header(
            msgspec.structs.replace(
                describe(elements),
                announced=cached(elements, announced),
                concatenation=cached(elements, concatenation),
            )
        ),
        crc32=isal_zlib.crc32(data_set),
    )


def check(
    data_set: Buffer,
    transfer_syntax_uid: str,
    *,
    sop_class_uid: str | None,
    sop_instance_uid: str | None,
    alike: HeaderTemplate | None = None,
) -> dict[str, str]:
    """Check that `register` will understand a data set, in a fraction of its time.

    It also checks that the data set is in the transfer syntax that was negotiated for it.

    Args:
        data_set: as it was received, without preamble and meta information.
        transfer_syntax_uid: of its encoding.
        sop_class_uid: what the C-STORE command said; None: there was no command.
        sop_instance_uid: likewise.
        alike: headers that were checked before, from `alike_to_check`.

    Returns:
        Its four UIDs, by the names that they have in `Registration`.

    Raises:
        MalformedDataSet, InvalidUID, Mismatch: as `register` does.
    """
    if transfer_syntax_uid == DEFLATED:
        elements = header_of(data_set)
    elif alike is None:
        elements = scan(data_set, transfer_syntax_uid, wanted=_UIDS).elements
    else:
        elements = alike.scan(data_set, transfer_syntax_uid).elements
    if elements.encoding != encoding_of(transfer_syntax_uid):
        raise MalformedDataSet(
            "the data set is not in the transfer syntax that was negotiated for it"
        )
    return _checked(elements, sop_class_uid, sop_instance_uid)


def alike_to_check() -> HeaderTemplate:
    """For `check`: an empty memory of the headers of one association's data sets."""
    return HeaderTemplate(_UIDS)


def _checked(
    elements: Elements, sop_class_uid: str | None, sop_instance_uid: str | None
) -> dict[str, str]:
    found_class, study, series = cached(elements, _usual_uids)
    found_instance = checked_uid(elements.uid(_SOP_INSTANCE_UID) or "", "SOP Instance UID")
    if sop_instance_uid is not None and found_instance != sop_instance_uid:
        raise Mismatch("the data set's SOP Instance UID is not the one that the command announced")
    if sop_class_uid is not None and found_class != sop_class_uid:
        raise Mismatch("the data set's SOP Class UID is not the one that the command announced")
    return {
        "sop_class_uid": found_class,
        "sop_instance_uid": found_instance,
        "study_instance_uid": study,
        "series_instance_uid": series,
    }


def _usual_uids(elements: Elements) -> tuple[str, str, str]:
    """SOP class, study and series, which are the same in most instances of one association."""
    return (
        checked_uid(elements.uid(_SOP_CLASS_UID) or "", "SOP Class UID"),
        checked_uid(elements.uid(_STUDY_INSTANCE_UID) or "", "Study Instance UID"),
        checked_uid(elements.uid(_SERIES_INSTANCE_UID) or "", "Series Instance UID"),
    )


def kept_attributes(elements: Elements) -> dict[str, Any]:
    """Attributes of `node.core.query_keys` that a data set has: keyword to text, or to items."""
    return read_table(elements, _KEPT)


def _items(elements: Elements, tag: int) -> list[dict[str, Any]]:
    return [_item(item, depth=2) for item in elements.items(tag)[:_MAX_ITEMS]]


def _item(item: Elements, depth: int) -> dict[str, Any]:
    """A sequence's item: keyword to text for the dictionary's attributes, sequences within."""
    found: dict[str, Any] = {}
    for tag in item:
        keyword = _keyword(tag)
        if not keyword:
            continue
        if item.vr(tag) == "SQ":
            if depth:
                found[keyword] = [
                    _item(nested, depth - 1) for nested in item.items(tag)[:_MAX_ITEMS]
                ]
        else:
            found[keyword] = _text(item, tag)
    return found


def _keyword(tag: int) -> str:
    known = BY_TAG.get(tag)
    return known.keyword if known else keyword_for_tag(tag)


def _text(elements: Elements, tag: int) -> str:
    # A NUL inside would end the text in one database and be refused by the other.
    return (elements.value(tag) or "").replace("\0", "")[:_MAX_TEXT]


_KEPT: Final = tuple(
    (one.keyword, one.tag, _items if one.vr == "SQ" else _text) for one in ATTRIBUTES
)
