"""Texts that people give for a result, checked before anything is made."""

from __future__ import annotations

from typing import Final

from node.convert.results import Algorithm
from node.core.errors import ConfigError

LONGEST: Final = 64
"""Characters of VR LO."""


def checked_text(text: str, option: str) -> str:
    """A text that fits into an attribute of VR LO.

    Args:
        text: as it was given.
        option: its name, for the message.

    Raises:
        ConfigError: it does not fit.
    """
    if len(text) > LONGEST or "\\" in text or not text.isprintable():
        raise ConfigError(
            f"{option} takes up to {LONGEST} characters without a backslash, not {len(text)}."
        )
    return text


def read_algorithm(text: str | None, option: str) -> Algorithm | None:
    """An algorithm as NAME,VERSION.

    Args:
        text: as it was given; None: a person made it.
        option: its name, for the message.

    Raises:
        ConfigError: it is none.
    """
    if text is None:
        return None
    name, comma, version = text.rpartition(",")
    if not comma or not name.strip() or not version.strip():
        raise ConfigError(f"{option} takes NAME,VERSION, not {text!r}.")
    return Algorithm(checked_text(name.strip(), option), checked_text(version.strip(), option))
