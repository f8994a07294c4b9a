"""Text of others, made harmless for people who read it on a terminal, in a log or in a table."""

from __future__ import annotations

from typing import Final

_LAST_CONTROL: Final = 0x9F
"""U+009F ends C1; the spaces and line breaks beyond are only seen."""


def plain(text: object, keep: str = "") -> str:
    """Return text in one line in which nothing acts: no control character (C0, C1, escape), no line
    break, nothing that turns the direction of writing around (U+202E and its like).

    Args:
        text: anything; as `str` has it.
        keep: characters that are left in it all the same.

    Returns:
        a space for each other space, `?` for each other character that is not printable.
    """
    said = str(text)
    if said.isprintable():
        return said
    return "".join(char if char in keep else _harmless(char) for char in said)


def _harmless(char: str) -> str:
    if char.isprintable():
        return char
    return " " if char.isspace() and ord(char) > _LAST_CONTROL else "?"
