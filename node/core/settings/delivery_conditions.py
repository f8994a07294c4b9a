"""Which series a delivery is for: patterns on attributes, by name. Pure."""

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
    """Events, and patterns that a series has to match and must not match.

    Patterns are as a shell's (`*`, `?`, `[a-z]`), without regard to case. Of the patterns of one
    key any may match; every key of `when` has to; no key of `unless` may.
    """

    events: tuple[EventType, ...]
    when: Mapping[str, tuple[str, ...]]
    unless: Mapping[str, tuple[str, ...]]

    def check(self) -> None:
        """See that every key names something that a series has one value of.

        Raises:
            ValueError: which key it is, and the nearest right one.
        """
        for key in (*self.when, *self.unless):
            if key not in _MATCHABLE and key not in _OF_THE_NODE:
                near = get_close_matches(key, (*_MATCHABLE, *_OF_THE_NODE), n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise ValueError(f"{key!r} is nothing that rules can match{hint}")

    def refusal(self, news: SeriesEvent) -> str:
        """Why the news is not for this target; empty if it is."""
        if news.event_type not in self.events:
            return f"it is told of {', '.join(self.events)}, not of {news.event_type}"
        for key, patterns in self.when.items():
            values = _values(news, key)
            if not _any_match(values, patterns):
                return f"{key} is {_shown(values)}, not {' or '.join(patterns)}"
        for key, patterns in self.unless.items():
            values = _values(news, key)
            if _any_match(values, patterns):
                return f"{key} is {_shown(values)}, which is left out"
        return ""


def _values(news: SeriesEvent, key: str) -> tuple[str, ...]:
    if key == SENDER:
        return news.senders
    if key == VERDICT:
        return (str(news.verdict),)
    value: Any = news.attributes.get(key)
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
