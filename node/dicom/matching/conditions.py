"""The conditions that a key can put on a value (PS3.4 C.2.2.2)."""

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
    """Everything matches; the key only asks for the value (PS3.4 C.2.2.2.3)."""

    def holds(self, value: str) -> bool:  # noqa: ARG002
        """Always."""
        return True


@dataclass(frozen=True, slots=True)
class Empty:
    """Only what has no value matches (PS3.4 C.2.2.2.7, by negotiation)."""

    def holds(self, value: str) -> bool:
        """Whether there is no value."""
        return not value


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of some values, character by character: single values and lists of UIDs."""

    values: tuple[str, ...]

    def holds(self, value: str) -> bool:
        """Whether the value is among them."""
        return value in self.values


@dataclass(frozen=True, slots=True)
class Text:
    """One of some texts with wildcards, with regard to case (PS3.4 C.2.2.2.1, C.2.2.2.4)."""

    patterns: tuple[Pattern, ...]

    def holds(self, value: str) -> bool:
        """Whether one of the patterns fits the whole value."""
        return any(pattern.matches(value) for pattern in self.patterns)


@dataclass(frozen=True, slots=True)
class NamePattern:
    """A person name as a key gives it.

    Attributes:
        groups: what the alphabetic, ideographic and phonetic group have to fit, each with its
            alternatives; without alternatives anything fits.
        anywhere: the key had no `=`: its one group may fit any group of the name.
        accents: the key has some, and so they count; without any they do not.
    """

    groups: tuple[tuple[Pattern, ...], ...]
    anywhere: bool
    accents: bool = False

    def fits(self, value: str) -> bool:
        """Whether a name fits."""
        name = name_groups(value, caseless if self.accents else fold)
        if self.anywhere:
            return any(group and _any(self.groups[0], group) for group in name)
        return all(
            not patterns or _any(patterns, group)
            for patterns, group in zip(self.groups, name, strict=False)
        )


@dataclass(frozen=True, slots=True)
class Name:
    """One of some person names, without regard to case (PS3.4 C.2.2.2.1)."""

    patterns: tuple[NamePattern, ...]

    def holds(self, value: str) -> bool:
        """Whether one of the patterns fits the name."""
        return any(pattern.fits(value) for pattern in self.patterns)


@dataclass(frozen=True, slots=True)
class Number:
    """One of some numbers: 7 is 007 is +7 (PS3.4 C.2.2.2.1.3, implementation dependent)."""

    values: tuple[float, ...]

    def holds(self, value: str) -> bool:
        """Whether the value is one of the numbers."""
        return bool(_NUMBER.fullmatch(value)) and float(value) in self.values


@dataclass(frozen=True, slots=True)
class Range:
    """Dates or times of day within one of some ranges (PS3.4 C.2.2.2.5.1, C.2.2.2.5.2)."""

    bounds: tuple[Bounds, ...]

    def holds(self, value: str) -> bool:
        """Whether the value lies in one of the ranges."""
        return any(bounds.holds(value) for bounds in self.bounds)


@dataclass(frozen=True, slots=True)
class Moment:
    """Moments in time within one of some ranges (PS3.4 C.2.2.2.5.3)."""

    ranges: tuple[Moments, ...]

    def holds(self, value: str) -> bool:
        """Whether the value lies in one of the ranges."""
        return any(span.holds(value) for span in self.ranges)


@dataclass(frozen=True, slots=True)
class Every:
    """Each of some conditions, each by any of the values (PS3.4 C.2.2.2.8, by negotiation)."""

    conditions: tuple[Text | Name, ...]

    def holds(self, value: str) -> bool:
        """Whether a single value fits all of them; see `Key` for several values."""
        return all(condition.holds(value) for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class Items:
    """At least one item of a sequence matches all keys (PS3.4 C.2.2.2.6).

    Attributes:
        keys: of the item; without any every sequence matches and comes back whole.
    """

    keys: tuple[Key, ...]

    def matching(self, items: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The items that match."""
        return [item for item in items if all(key.matches(item) for key in self.keys)]

    @property
    def selective(self) -> bool:
        """Whether it asks for anything but the values."""
        return any(key.selective for key in self.keys)


Condition = Universal | Empty | OneOf | Text | Name | Number | Range | Moment | Every | Items


def parse_number(text: str) -> float | None:
    """An IS or DS value; None if it is no number."""
    return float(text) if _NUMBER.fullmatch(text) else None


def _any(patterns: tuple[Pattern, ...], text: str) -> bool:
    return any(pattern.matches(text) for pattern in patterns)
