"""The conditions of a delivery: which series it is for, by patterns on attributes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from node.core.events import EventType, SeriesEvent
from node.core.query_keys import BY_KEYWORD, Level

SENDER = "CallingAETitle"
VERDICT = "Verdict"
_OF_THE_NODE = (SENDER, VERDICT)
_MATCHABLE = tuple(
    sorted(
        keyword
        for keyword, attribute in BY_KEYWORD.items()
        if attribute.level is not Level.IMAGE and attribute.vr != "SQ"
    )
)


@dataclass(frozen=True, slots=True)
class Conditions:
    """Event types, and patterns that a series must match (`when`) or must not match (`unless`).

    Patterns are those of a shell (`*`, `?`, `[a-z]`), without regard to case. A key matches if any
    of its patterns does. Every key of `when` has to match, and no key of `unless` may.
    """

    events: tuple[EventType, ...]
    when: Mapping[str, tuple[str, ...]]
    unless: Mapping[str, tuple[str, ...]]

    def check(self) -> None:
        """Check that every key is an attribute of a series.

        Raises:
            ValueError: names the wrong key and the nearest right one.
        """
        for key in (*self.when, *self.unless):
            if key not in _MATCHABLE and key not in _OF_THE_NODE:
                near = get_close_matches(key, (*_MATCHABLE, *_OF_THE_NODE), n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise ValueError(f"{key!r} is nothing that rules can match{hint}")

    def refusal(self, event: SeriesEvent) -> str:
        """Return why an event is not for this target; empty if it is."""
        if event.event_type not in self.events:
            return f"its events are {', '.join(self.events)}, not {event.event_type}"
        for key, patterns in self.when.items():
            values = _values(event, key)
            if not _any_match(values, patterns):
                return f"{key} is {_shown(values)}, not {' or '.join(patterns)}"
        for key, patterns in self.unless.items():
            values = _values(event, key)
            if _any_match(values, patterns):
                return f"{key} is {_shown(values)}, which is left out"
        return ""


def _values(event: SeriesEvent, key: str) -> tuple[str, ...]:
    if key == SENDER:
        return event.senders
    if key == VERDICT:
        return (str(event.verdict),)
    value: Any = event.attributes.get(key)
    if value is None or value == "":
        return ()
    return tuple(map(str, value)) if isinstance(value, list | tuple) else (str(value),)


def _any_match(values: Iterable[str], patterns: Iterable[str]) -> bool:
    return any(
        fnmatchcase(value.casefold(), pattern.casefold())
        for value in values
        for pattern in patterns
    )


def _shown(values: tuple[str, ...]) -> str:
    return " and ".join(repr(value) for value in values) or "absent"
