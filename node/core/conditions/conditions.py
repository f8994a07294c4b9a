"""`when` and `unless`: which series something is for, by patterns. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase

from node.core.conditions.values import KEYS, ConditionValues


@dataclass(frozen=True, slots=True)
class Conditions:
    """Patterns that a series must match (`when`) or must not match (`unless`).

    Patterns are those of a shell (`*`, `?`, `[a-z]`), without regard to case. A key matches if any
    of its patterns matches any of its values. Every key of `when` has to match, and no key of
    `unless` may.
    """

    when: Mapping[str, tuple[str, ...]]
    unless: Mapping[str, tuple[str, ...]]

    def check(self) -> None:
        """Check that every key can be compared with a series.

        Raises:
            ValueError: names the wrong key and the nearest right one.
        """
        for key in (*self.when, *self.unless):
            if key not in KEYS:
                near = get_close_matches(key, KEYS, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise ValueError(f"{key!r} is nothing that rules can match{hint}")

    def refusal(self, series: ConditionValues) -> str:
        """Return why a series does not meet the conditions; empty if it does.

        Args:
            series: what is known of it.
        """
        for key, patterns in self.when.items():
            values = series.of(key)
            if not _any_match(values, patterns):
                return f"{key} is {_shown(values)}, not {' or '.join(patterns)}"
        for key, patterns in self.unless.items():
            values = series.of(key)
            if _any_match(values, patterns):
                return f"{key} is {_shown(values)}, which is left out"
        return ""


def _any_match(values: Iterable[str], patterns: Iterable[str]) -> bool:
    return any(
        fnmatchcase(value.casefold(), pattern.casefold())
        for value in values
        for pattern in patterns
    )


def _shown(values: tuple[str, ...]) -> str:
    return " and ".join(repr(value) for value in values) or "absent"
