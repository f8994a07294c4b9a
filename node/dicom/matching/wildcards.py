"""Text with wildcards (PS3.4 C.2.2.2.4), as tokens for regular expressions and for SQL."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache


class Wild(Enum):
    """The wildcard characters."""

    ANY = "*"  # any sequence of characters, also an empty one
    ONE = "?"  # exactly one character


Token = str | Wild
_WILDCARDS = re.compile(r"([*?])")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A text with wildcards; every other character stands for itself."""

    tokens: tuple[Token, ...]

    @property
    def literal(self) -> str | None:
        """The text itself if it has no wildcard, else None."""
        if not self.tokens:
            return ""
        only = self.tokens[0]
        return only if len(self.tokens) == 1 and isinstance(only, str) else None

    @property
    def prefix(self) -> str:
        """The beginning of every matching text."""
        first = self.tokens[0] if self.tokens else ""
        return first if isinstance(first, str) else ""

    @property
    def stars(self) -> int:
        """The number of `*`."""
        return sum(token is Wild.ANY for token in self.tokens)

    @property
    def universal(self) -> bool:
        """Whether it is `*`, which matches everything."""
        return self.tokens == (Wild.ANY,)

    def widened(self, form: Callable[[str], str]) -> Pattern:
        """Return a pattern that matches at least the same texts after `form`, which may join
        characters."""
        tokens: list[Token] = []
        for token in self.tokens:
            if isinstance(token, str):
                tokens.append(form(token))
            elif not tokens or tokens[-1] is not Wild.ANY:
                tokens.append(Wild.ANY)
        return Pattern(tuple(tokens))

    def matches(self, text: str) -> bool:
        """Tell whether the whole text matches."""
        literal = self.literal
        if literal is not None:
            return text == literal
        return _expression(self.tokens).fullmatch(text) is not None


def parse(text: str, fold: Callable[[str], str] = str) -> Pattern:
    """Read the value of a key.

    Args:
        text: the value.
        fold: applied to the parts without wildcards.

    Examples:
        >>> parse("DOE^J*").matches("DOE^JOHN")
        True
    """
    tokens: list[Token] = []
    for part in _WILDCARDS.split(text):
        if part == "*":
            if not tokens or tokens[-1] is not Wild.ANY:
                tokens.append(Wild.ANY)
        elif part == "?":
            tokens.append(Wild.ONE)
        elif part:
            tokens.append(fold(part))
    return Pattern(tuple(tokens))


def without_empty_end(pattern: Pattern) -> Pattern | None:
    r"""Return a pattern without the components at its end that may be empty.

    Empty components at the end of a name may be left out (PS3.5 6.2.1): `DOE` is `DOE^`, so that
    `DOE^*` has to match `DOE`, too.

    Returns:
        None if no component can be left out.
    """
    tokens = list(pattern.tokens)
    while len(tokens) > 1 and tokens[-1] is Wild.ANY:
        before = tokens[-2]
        if not isinstance(before, str) or not before.endswith("^"):
            break
        bare = before.rstrip("^")
        tokens[-2:] = [bare] if bare else []
    return Pattern(tuple(tokens)) if len(tokens) < len(pattern.tokens) else None


@lru_cache(maxsize=1024)
def _expression(tokens: tuple[Token, ...]) -> re.Pattern[str]:
    """Return an expression that takes linear time for each `*`, as it never backtracks into one."""
    segments: list[str] = [""]
    for token in tokens:
        if token is Wild.ANY:
            segments.append("")
        else:
            segments[-1] += "." if token is Wild.ONE else re.escape(str(token))
    if len(segments) == 1:
        return re.compile(segments[0], re.DOTALL)
    first, *middle, last = segments
    inner = "".join(f"(?>.*?{segment})" for segment in middle if segment)
    return re.compile(f"{first}{inner}.*{last}", re.DOTALL)
