"""The conditions of C-FIND keys on values (PS3.4 C.2.2.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from node.core.query_keys import caseless, fold, name_groups
from node.dicom.matching.date_time_ranges import Bounds, Moments
from node.dicom.matching.wildcards import Pattern

if TYPE_CHECKING:
    from node.dicom.matching.query import Key

_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Universal:
    """Universal matching: everything matches; the key only requests the value (C.2.2.2.3)."""

    def holds(self, value: str) -> bool:  # noqa: ARG002
        """Return True."""
        return True


@dataclass(frozen=True, slots=True)
class Empty:
    """Empty value matching: only absent values match (PS3.4 C.2.2.2.7, by negotiation)."""

    def holds(self, value: str) -> bool:
        """Tell whether there is no value."""
        return not value


@dataclass(frozen=True, slots=True)
class OneOf:
    """Single value matching, and list of UID matching: one of some values, exactly."""

    values: tuple[str, ...]

    def holds(self, value: str) -> bool:
        """Tell whether the value is one of them."""
        return value in self.values


@dataclass(frozen=True, slots=True)
class Text:
    """Wild card matching with one of some patterns, case sensitive (C.2.2.2.1, C.2.2.2.4)."""

    patterns: tuple[Pattern, ...]

    def holds(self, value: str) -> bool:
        """Tell whether one of the patterns matches the whole value."""
        return any(pattern.matches(value) for pattern in self.patterns)


@dataclass(frozen=True, slots=True)
class NamePattern:
    """The person name of a key.

    Attributes:
        groups: patterns for the alphabetic, ideographic and phonetic group; one of the patterns of
            a group has to match; a group without patterns matches anything.
        anywhere: the key has no `=`, so that its one group may match any group of the name.
        accents: the key has accents, so that accents count.
    """

    groups: tuple[tuple[Pattern, ...], ...]
    anywhere: bool
    accents: bool = False

    def fits(self, value: str) -> bool:
        """Tell whether a name matches."""
        name = name_groups(value, caseless if self.accents else fold)
        if self.anywhere:
            return any(group and _any(self.groups[0], group) for group in name)
        return all(
            not patterns or _any(patterns, group)
            for patterns, group in zip(self.groups, name, strict=False)
        )


@dataclass(frozen=True, slots=True)
class Name:
    """Person names, without regard to case (PS3.4 C.2.2.2.1)."""

    patterns: tuple[NamePattern, ...]

    def holds(self, value: str) -> bool:
        """Tell whether one of the patterns matches the name."""
        return any(pattern.fits(value) for pattern in self.patterns)


@dataclass(frozen=True, slots=True)
class Number:
    """One of some numbers: 7 is 007 is +7 (PS3.4 C.2.2.2.1.3, implementation dependent)."""

    values: tuple[float, ...]

    def holds(self, value: str) -> bool:
        """Tell whether the value is one of the numbers."""
        return bool(_NUMBER.fullmatch(value)) and float(value) in self.values


@dataclass(frozen=True, slots=True)
class Range:
    """Range matching of dates or times of day (PS3.4 C.2.2.2.5.1, C.2.2.2.5.2)."""

    bounds: tuple[Bounds, ...]

    def holds(self, value: str) -> bool:
        """Tell whether the value lies in one of the ranges."""
        return any(bounds.holds(value) for bounds in self.bounds)


@dataclass(frozen=True, slots=True)
class Moment:
    """Range matching of dates with times (PS3.4 C.2.2.2.5.3)."""

    ranges: tuple[Moments, ...]

    def holds(self, value: str) -> bool:
        """Tell whether the value lies in one of the ranges."""
        return any(span.holds(value) for span in self.ranges)


@dataclass(frozen=True, slots=True)
class Every:
    """Multiple value matching: each condition holds for any value (C.2.2.2.8, by negotiation)."""

    conditions: tuple[Text | Name, ...]

    def holds(self, value: str) -> bool:
        """Tell whether a single value fits all conditions; see `Key` for several values."""
        return all(condition.holds(value) for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class Items:
    """Sequence matching: at least one item matches all keys (PS3.4 C.2.2.2.6).

    Attributes:
        keys: keys of the item; without keys every sequence matches and is returned whole.
    """

    keys: tuple[Key, ...]

    def matching(self, items: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Return the items that match."""
        return [item for item in items if all(key.matches(item) for key in self.keys)]

    @property
    def selective(self) -> bool:
        """Whether any key can exclude an item."""
        return any(key.selective for key in self.keys)


Condition = Universal | Empty | OneOf | Text | Name | Number | Range | Moment | Every | Items


def parse_number(text: str) -> float | None:
    """Return the number of an IS or DS value; None if it is not a number."""
    return float(text) if _NUMBER.fullmatch(text) else None


def _any(patterns: tuple[Pattern, ...], text: str) -> bool:
    return any(pattern.matches(text) for pattern in patterns)
