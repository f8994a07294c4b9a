"""What `find` and `pull` have in common: a peer by its name, and keys as they are typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from node.core.errors import ConfigError
from node.core.plain_text import plain
from node.core.settings.model import PeerSettings, Settings
from node.dimse.pull.question import BadKey, check_key

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def peer_named(settings: Settings, name: str) -> PeerSettings:
    """A peer of `dicom.peers`.

    Raises:
        ConfigError: there is none of that name.
    """
    for peer in settings.dicom.peers:
        if peer.name == name:
            return peer
    known = ", ".join(peer.name for peer in settings.dicom.peers) or "none"
    raise ConfigError(f"there is no peer {name!r} in dicom.peers; those there are: {known}")


def keys_of(words: Sequence[str]) -> dict[str, str]:
    """KEY=VALUE as typed: keyword -> value.

    Raises:
        ConfigError: a word is none, names no DICOM keyword, or its value cannot be matched.
    """
    keys: dict[str, str] = {}
    for word in words:
        keyword, equals, value = word.partition("=")
        if not equals:
            raise ConfigError(f"{word!r} is not KEY=VALUE, such as PatientID=12345")
        try:
            check_key(keyword, value)
        except BadKey as error:
            raise ConfigError(str(error)) from error
        keys[keyword] = value
    return keys


def cell(value: object) -> str:
    """A value for a CSV file: it acts neither on a terminal nor in a spreadsheet."""
    text = plain("" if value is None else str(value))
    return f"'{text}" if text.startswith(_FORMULA) and not _is_number(text) else text


def cells(row: Mapping[str, object]) -> dict[str, str]:
    """A row for a CSV file."""
    return {key: cell(value) for key, value in row.items()}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
