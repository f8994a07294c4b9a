"""Turn the elements of an identifier into conditions (PS3.4 C.2.2.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from pydicom.datadict import dictionary_VR, keyword_for_tag

from node.core.query_keys import Attribute, Level, caseless, fold, trimmed_components
from node.dicom import Elements
from node.dicom.matching.conditions import (
    Condition,
    Empty,
    Every,
    Items,
    Moment,
    Name,
    NamePattern,
    Number,
    OneOf,
    Range,
    Text,
    Universal,
    parse_number,
)
from node.dicom.matching.date_time_ranges import date_range, moment_range, time_range
from node.dicom.matching.query import IdentifierError, Key, is_multiple
from node.dicom.matching.wildcards import Pattern, parse, without_empty_end

MAX_TEXT = 10240  # characters of one value, the longest of any VR (PS3.5 6.2, LT)
MAX_VALUES = 64  # of a key other than a list of UIDs; each is an alternative in the search
_MAX_DEPTH = 4  # of sequences in a key

_WILD_VRS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
_WHOLE_VRS = frozenset({"LT", "ST", "UT", "UR"})
_NUMBER_VRS = frozenset({"IS", "DS", "US", "SS", "UL", "SL", "UV", "SV", "FL", "FD"})
_NO_VALUE = '""'  # PS3.4 C.2.2.2.7

_T = TypeVar("_T")


class Negotiated(NamedTuple):
    """Options of extended negotiation (PS3.4 Table C.5-2)."""

    relational: bool = False
    combined: bool = False
    empty_values: bool = False
    multiple_values: bool = False


def kind_of_matching(vr: str) -> str:
    """Return the kinds of matching for a VR, besides universal matching."""
    if vr == "SQ":
        return "sequence"
    if vr == "UI":
        return "single value, list of UID"
    if vr in {"DA", "TM", "DT"}:
        return "single value, range"
    return "single value, wild card" if vr in _WILD_VRS else "single value"


def condition_of(
    elements: Elements, tag: int, vr: str, negotiated: Negotiated, depth: int = 0
) -> Condition:
    """Return the condition of a key.

    Args:
        elements: the identifier, or an item of it.
        tag: tag of the key.
        vr: VR of the key.
        negotiated: options of extended negotiation.
        depth: number of sequences around the item.

    Raises:
        IdentifierError: the value cannot be understood.
    """
    if vr == "SQ":
        return _items(elements, tag, negotiated, depth)
    text = (elements.value(tag) or "").replace("\0", "")  # as in the index
    if text == _NO_VALUE and negotiated.empty_values:
        return Empty()
    values = _values(tag, vr, text)
    if not values or text == "*":
        return Universal()
    if vr not in _WILD_VRS:
        return _read(tag, vr, values)
    conditions = [_text(vr, value) for value in values]
    if negotiated.multiple_values and len(values) > 1 and is_multiple(tag):
        return Every(tuple(c for c in conditions if not isinstance(c, Universal)))
    return _either(conditions)


def _values(tag: int, vr: str, text: str) -> tuple[str, ...]:
    """Return the values of a key, each once, without empty ones."""
    parts = [text] if vr in _WHOLE_VRS else [part.strip() for part in text.split("\\")]
    values = tuple(dict.fromkeys(part for part in parts if part))
    if vr != "UI" and any(len(value) > MAX_TEXT for value in values):
        raise IdentifierError(
            f"A value of {keyword_for_tag(tag)} has more than {MAX_TEXT} characters.", tag
        )
    if vr != "UI" and len(values) > MAX_VALUES:
        raise IdentifierError(f"{keyword_for_tag(tag)} has more than {MAX_VALUES} values.", tag)
    return values


def _read(tag: int, vr: str, values: tuple[str, ...]) -> Condition:
    if vr == "DA":
        return Range(_all(tag, values, date_range))
    if vr == "TM":
        return Range(_all(tag, values, time_range))
    if vr == "DT":
        return Moment(_all(tag, values, moment_range))
    return Number(_all(tag, values, parse_number)) if vr in _NUMBER_VRS else OneOf(values)


def _all(tag: int, values: tuple[str, ...], read: Callable[[str], _T | None]) -> tuple[_T, ...]:
    found = [read(value) for value in values]
    if None in found:
        raise IdentifierError(f"The value of {keyword_for_tag(tag)} cannot be understood.", tag)
    return tuple(one for one in found if one is not None)


def _text(vr: str, value: str) -> Text | Name | Universal:
    if vr != "PN":
        pattern = parse(value)
        return Universal() if pattern.universal else Text((pattern,))
    groups = [trimmed_components(group) for group in value.split("=", 2)]
    accents = caseless(value) != fold(value)
    patterns = tuple(_group(group, caseless if accents else fold) for group in groups)
    if not any(patterns):
        return Universal()
    return Name((NamePattern(patterns, len(groups) == 1, accents),))


def _group(text: str, form: Callable[[str], str]) -> tuple[Pattern, ...]:
    pattern = parse(text, form)
    if not pattern.tokens or pattern.universal:
        return ()
    shorter = without_empty_end(pattern)
    if shorter is None:
        return (pattern,)
    return () if shorter.universal else (pattern, shorter)


def _either(conditions: list[Text | Name | Universal]) -> Condition:
    texts = [pattern for c in conditions if isinstance(c, Text) for pattern in c.patterns]
    names = [pattern for c in conditions if isinstance(c, Name) for pattern in c.patterns]
    if len(texts) + len(names) < len(conditions):
        return Universal()
    return Text(tuple(texts)) if texts else Name(tuple(names))


def _items(elements: Elements, tag: int, negotiated: Negotiated, depth: int) -> Condition:
    items = elements.items(tag)
    if not items or depth == _MAX_DEPTH:
        return Universal()
    if len(items) > 1:
        raise IdentifierError("A sequence key has one item (PS3.4 C.2.2.2.6).", tag)
    keys = []
    for inner in sorted(items[0]):
        keyword = keyword_for_tag(inner)
        if not keyword or inner & 0xFFFF == 0:
            continue
        vr = dictionary_VR(inner)[:2]
        condition = condition_of(items[0], inner, vr, negotiated, depth + 1)
        keys.append(Key(Attribute(keyword, inner, vr, Level.IMAGE), condition))
    return Items(tuple(keys))
