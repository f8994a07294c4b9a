"""Writes the identifiers of responses from the values of the index (PS3.4 C.4.1.1.3.2)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydicom.datadict import dictionary_VR, tag_for_keyword

from node.dicom.element_writer import MOST_BYTES, Writer
from node.dicom.matching import Key, Query, returned
from node.dimse.scp.query.character_sets import Charset, choose

_CHARSET: Final = 0x00080005
_LEVEL: Final = 0x00080052
_RETRIEVE_AE: Final = 0x00080054
_AVAILABILITY: Final = 0x00080056
_FAILED_INSTANCES: Final = 0x00080058

_TEXT_VRS: Final = frozenset({"SH", "LO", "ST", "LT", "PN", "UC", "UT"})
_NUMBERS: Final = {
    "US": "<H", "SS": "<h", "UL": "<L", "SL": "<l", "UV": "<Q", "SV": "<q", "FL": "<f", "FD": "<d",
}  # fmt: skip
_NOT_KEPT: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN", "AT"})


class Responses:
    """Writes the identifiers of a query's pending responses.

    Args:
        query: with the keys that were asked for.
        transfer_syntax_uid: Implicit or Explicit VR Little Endian.
        retrieve_ae: Retrieve AE Title, from which the matches can be retrieved.
    """

    def __init__(self, query: Query, transfer_syntax_uid: str, retrieve_ae: str) -> None:
        self._writer = Writer(transfer_syntax_uid)
        element = self._writer.element
        self._requested = query.charset
        fixed = {
            _LEVEL: element(_LEVEL, "CS", query.level.encode()),
            _RETRIEVE_AE: element(_RETRIEVE_AE, "AE", retrieve_ae.encode()),
        }
        if query.availability:
            fixed[_AVAILABILITY] = element(_AVAILABILITY, "CS", b"ONLINE")
        keys = {key.attribute.tag: key for key in query.keys}
        self._plan: list[bytes | Key] = [
            keys[tag] if tag in keys else fixed[tag] for tag in sorted({*keys, *fixed})
        ]

    def encode(self, record: Mapping[str, Any]) -> bytes:
        """The identifier of one match: all keys of the query, empty where there is no value."""
        chosen: Charset | None = None
        try:
            return self._written(record, None)
        except UnicodeEncodeError:
            chosen = choose(self._texts(record), self._requested)
        return self._written(record, chosen)

    def _written(self, record: Mapping[str, Any], charset: Charset | None) -> bytes:
        parts: list[bytes] = []
        if charset is not None:
            parts.append(self._writer.element(_CHARSET, "CS", charset.value.encode("ascii")))
        for step in self._plan:
            if isinstance(step, bytes):
                parts.append(step)
                continue
            attribute = step.attribute
            value = returned(step, record.get(attribute.keyword))
            parts.append(self._any(attribute.tag, attribute.vr, value, charset))
        return b"".join(parts)

    def _any(self, tag: int, vr: str, value: Any, charset: Charset | None) -> bytes:
        if vr == "SQ":
            items = value if isinstance(value, list) else []
            return self._sequence(tag, items, charset)
        text = value if isinstance(value, str) else ""
        if vr in _NUMBERS:
            raw = _packed(text, _NUMBERS[vr])
        elif vr in _TEXT_VRS:
            raw = text.encode("ascii") if charset is None else (charset.encode(text) or b"")
        else:
            raw = text.encode("latin-1", "replace")
        return self._writer.element(tag, vr, raw)

    def _sequence(self, tag: int, items: list[Any], charset: Charset | None) -> bytes:
        return self._writer.sequence(
            tag,
            (
                b"".join(
                    self._any(inner, vr, item[keyword], charset)
                    for inner, vr, keyword in sorted(_tags(item))
                )
                for item in items
            ),
        )

    def _texts(self, record: Mapping[str, Any]) -> Iterator[str]:
        for step in self._plan:
            if not isinstance(step, bytes):
                value = returned(step, record.get(step.attribute.keyword))
                yield from _texts_in(value, step.attribute.vr)


def failed_instances(uids: list[str], transfer_syntax_uid: str) -> bytes:
    """The identifier of a final C-MOVE or C-GET response (PS3.4 C.4.2.1.4.2).

    Args:
        uids: SOP Instance UIDs of the sub-operations that failed.
        transfer_syntax_uid: Implicit or Explicit VR Little Endian.
    """
    raw = "\\".join(uids).encode("ascii")
    writer = Writer(transfer_syntax_uid)
    if not writer.implicit and len(raw) > MOST_BYTES:
        raw = raw[: raw.rindex(b"\\", 0, MOST_BYTES)]  # as many as a 16-bit length has room for
    return writer.element(_FAILED_INSTANCES, "UI", raw)


def _packed(text: str, form: str) -> bytes:
    try:
        read = float if form in {"<f", "<d"} else int
        return b"".join(struct.pack(form, read(part)) for part in text.split("\\") if part)
    except (ValueError, struct.error):
        return b""


def _tags(item: Mapping[str, Any]) -> Iterator[tuple[int, str, str]]:
    for keyword in item:
        tag = tag_for_keyword(keyword)
        if tag is None:
            continue
        vr = dictionary_VR(tag)[:2]
        if vr not in _NOT_KEPT:
            yield int(tag), vr, keyword


def _texts_in(value: Any, vr: str) -> Iterator[str]:
    if vr in _TEXT_VRS and isinstance(value, str):
        yield value
    elif vr == "SQ" and isinstance(value, list):
        for item in value:
            for _, inner, keyword in _tags(item):
                yield from _texts_in(item[keyword], inner)
