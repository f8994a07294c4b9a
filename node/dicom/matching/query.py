"""C-FIND, C-MOVE and C-GET requests as plain values, and what they match."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydicom.datadict import dictionary_VM

from node.core.errors import Permanent
from node.core.query_keys import Attribute, Level
from node.dicom.matching.conditions import Condition, Empty, Every, Items, Universal
from node.dicom.matching.date_time_ranges import Bounds

IDENTIFIER_DOES_NOT_MATCH = 0xA900  # PS3.4 Table C.4-1: the identifier is not one of this SOP class
UNABLE_TO_PROCESS = 0xC000


class IdentifierError(Permanent):
    """An identifier that cannot be answered.

    Attributes:
        status: status of the response (PS3.4 Table C.4-1).
        offending: tag of the wrong element; None if it is not one element.
    """

    def __init__(
        self, sentence: str, offending: int | None = None, status: int = IDENTIFIER_DOES_NOT_MATCH
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.offending = offending


class Model(StrEnum):
    """Query/Retrieve information models (PS3.4 C.3)."""

    PATIENT = "PATIENT"
    STUDY = "STUDY"

    @property
    def levels(self) -> tuple[Level, ...]:
        """Its levels, top down (PS3.4 Tables C.6.1-1, C.6.2-1)."""
        levels = tuple(Level)
        return levels if self is Model.PATIENT else levels[1:]


@dataclass(frozen=True, slots=True)
class Key:
    """One key of an identifier.

    Attributes:
        attribute: the attribute.
        condition: its condition on an entity.
        required: an entity without a value matches every value, which is the standard's rule for
            Required Keys (PS3.4 C.2.2.1.2).
    """

    attribute: Attribute
    condition: Condition
    required: bool = False

    @property
    def selective(self) -> bool:
        """Whether it can exclude an entity."""
        if isinstance(self.condition, Items):
            return self.condition.selective
        return not isinstance(self.condition, Universal)

    def matches(self, record: Mapping[str, Any]) -> bool:
        """Tell whether the attributes of an entity satisfy the key."""
        value = record.get(self.attribute.keyword)
        condition = self.condition
        if isinstance(condition, Items):
            items = value if isinstance(value, list) else []
            return not condition.selective or bool(condition.matching(items))
        text = value if isinstance(value, str) else ""
        if not text:
            return isinstance(condition, Universal | Empty) or self.required
        if not is_multiple(self.attribute.tag):
            return condition.holds(text)
        values = [part.strip(" ") for part in text.split("\\")]
        if isinstance(condition, Every):
            return all(any(one.holds(part) for part in values) for one in condition.conditions)
        return any(condition.holds(part) for part in values)


@dataclass(frozen=True, slots=True)
class Combined:
    """Combined date and time matching (PS3.4 C.2.2.2.5.4, by negotiation)."""

    date: Attribute
    time: Attribute
    dates: Bounds
    times: Bounds
    required: bool

    def matches(self, record: Mapping[str, Any]) -> bool:
        """Tell whether date and time of an entity lie in the range."""
        date = record.get(self.date.keyword) or ""
        time = record.get(self.time.keyword) or ""
        if not date:
            return self.required
        if not time:
            return self.required and self.dates.holds(date)
        low = self.dates.low is None or (date, time) >= (self.dates.low, self.times.low or "")
        high = self.dates.high is None or (date, time) <= (self.dates.high, self.times.high or "")
        return low and high


@dataclass(frozen=True, slots=True)
class Query:
    """A C-FIND request.

    Attributes:
        keys: every key that the index keeps, selective or not, by ascending tag.
        combined: pairs of ranges that count as one; their keys are universal in `keys`.
        unsupported: requested tags that the index does not keep.
        availability: whether Instance Availability was requested.
        charset: Specific Character Set of the request.
    """

    model: Model
    level: Level
    keys: tuple[Key, ...]
    combined: tuple[Combined, ...] = ()
    unsupported: tuple[int, ...] = ()
    availability: bool = False
    charset: str = ""


@dataclass(frozen=True, slots=True)
class Retrieve:
    """A C-MOVE or C-GET request: unique keys only (PS3.4 C.4.2.1.4.1).

    Attributes:
        level: the Query/Retrieve Level.
        uids: values of the unique keys by level; several values only at the level itself.
    """

    level: Level
    uids: tuple[tuple[Level, tuple[str, ...]], ...]


def matches(query: Query, record: Mapping[str, Any]) -> bool:
    """Tell whether an entity matches a query (PS3.4 C.2.2.2).

    Args:
        query: the query.
        record: keyword -> value of the entity and those above it; several values are separated by
            backslashes; sequences are lists of such mappings.

    Examples:
        >>> from node.core.query_keys import BY_KEYWORD
        >>> from node.dicom.matching.conditions import OneOf
        >>> key = Key(BY_KEYWORD["Modality"], OneOf(("CT",)))
        >>> query = Query(Model.STUDY, Level.SERIES, (key,))
        >>> matches(query, {"Modality": "CT"}), matches(query, {"Modality": "MR"})
        (True, False)
    """
    return all(key.matches(record) for key in query.keys) and all(
        pair.matches(record) for pair in query.combined
    )


def returned(key: Key, value: Any) -> Any:
    """Return the value of a key in a response: for a sequence the matching items (C.2.2.2.6).

    Args:
        key: the key.
        value: value of the entity, as in `matches`.
    """
    if not isinstance(key.condition, Items):
        return value
    items = value if isinstance(value, list) else []
    if not key.condition.keys:
        return items
    return [
        {
            inner.attribute.keyword: returned(inner, item.get(inner.attribute.keyword))
            for inner in key.condition.keys
        }
        for item in key.condition.matching(items)
    ]


def is_multiple(tag: int) -> bool:
    """Tell whether an attribute may have several values (PS3.6)."""
    return _multiple(tag)


def _multiple(tag: int) -> bool:
    known = _MULTIPLE.get(tag)
    if known is None:
        known = _MULTIPLE[tag] = dictionary_VM(tag) != "1"
    return known


_MULTIPLE: dict[int, bool] = {}
