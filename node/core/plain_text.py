"""Make received text harmless for terminals, logs and tables."""

from __future__ import annotations

from typing import Final

_LAST_CONTROL: Final = 0x9F
"""U+009F ends C1; spaces and line breaks above it control no terminal."""


def plain(text: object, keep: str = "") -> str:
    """Return text in one line without control characters (C0, C1, escape), line breaks and marks
    that change the direction of writing (such as U+202E).

    Args:
        text: anything; converted by `str`.
        keep: characters that are kept even so.

    Returns:
        the text, with a space for each kind of space and `?` for other characters that are not
        printable.
    """
    whole = str(text)
    if whole.isprintable():
        return whole
    return "".join(char if char in keep else _harmless(char) for char in whole)


def _harmless(char: str) -> str:
    if char.isprintable():
        return char
    return " " if char.isspace() and ord(char) > _LAST_CONTROL else "?"
