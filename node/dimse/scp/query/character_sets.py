"""Encodes text, in the requestor's character set where that is possible (PS3.4 C.4.1.1.3.2)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from pydicom.charset import (
    ENCODINGS_TO_CODES,
    STAND_ALONE_ENCODINGS,
    encode_string,
    python_encoding,
)

from node.dicom.charsets import decode

UTF_8: Final = "ISO_IR 192"
_LATIN_1: Final = "ISO_IR 100"
_ASCII_SETS: Final = frozenset({"", "ISO_IR 6", "ISO 2022 IR 6"})
_DELIMITERS: Final = re.compile(r"([\\^=\r\n\f\t])")
"""After each of them the first character set applies again (PS3.5 6.1.2.5.3)."""
_GB_2312: Final = "iso_ir_58"
_LONGEST_PAIR: Final = 2  # bytes a character of the double-byte sets


class Charset:
    """A value of Specific Character Set (0008,0005), and how to encode text in it."""

    def __init__(self, value: str) -> None:
        self.value = value
        self._names = tuple(name.strip() for name in value.split("\\"))
        self._known = all(name in python_encoding for name in self._names)
        self._codecs = [python_encoding.get(name, "") for name in self._names]

    @property
    def usable(self) -> bool:
        """Whether it is known, and has more characters than the default repertoire."""
        return self._known and any(name not in _ASCII_SETS for name in self._names)

    def encode(self, text: str) -> bytes | None:
        """Text in this character set; None if the set lacks one of its characters."""
        if not self.usable:
            return None
        if len(self._names) == 1 and self._names[0] in {*STAND_ALONE_ENCODINGS, _LATIN_1}:
            return _strict(text, self._codecs[0])
        parts = [part for part in _DELIMITERS.split(text) if part]
        if not all(self._can_carry(part) for part in parts):
            return None
        encoded = b"".join(self._part(part) for part in parts)
        return encoded if decode(encoded, self.value) == text else None

    def _part(self, part: str) -> bytes:
        if part.isascii():
            return part.encode("ascii")
        if _GB_2312 in self._codecs and (raw := _strict(part, _GB_2312)) is not None:
            return ENCODINGS_TO_CODES[_GB_2312] + raw  # pydicom leaves the escape sequence out
        return encode_string(part, self._codecs)

    def _can_carry(self, part: str) -> bool:
        # pydicom warns and writes question marks where no set has a character.
        return all(
            any(
                _has(char, name, codec)
                for name, codec in zip(self._names, self._codecs, strict=True)
            )
            for char in part
        )


@lru_cache(maxsize=64)
def charset(value: str) -> Charset:
    """A character set by its value."""
    return Charset(value)


def choose(texts: Iterable[str], requested: str) -> Charset | None:
    """Choose the character set of a response; None if the default repertoire is enough.

    It is the requestor's own if that has all characters; for a requestor that named none, Latin-1
    if that has, since most old clients read it; else UTF-8.

    Args:
        texts: all text values of the response.
        requested: Specific Character Set of the request; empty for none.
    """
    foreign = [text for text in texts if not text.isascii()]
    if not foreign:
        return None
    for value in (requested, _LATIN_1) if not requested else (requested,):
        one = charset(value)
        if all(one.encode(text) is not None for text in foreign):
            return one
    return charset(UTF_8)


def _strict(text: str, codec: str) -> bytes | None:
    try:
        return text.encode(codec)
    except UnicodeEncodeError:
        return None


def _has(char: str, name: str, codec: str) -> bool:
    if char.isascii() or name in _ASCII_SETS:
        return char.isascii()
    encoded = _strict(char, codec)
    if encoded is None:
        return False
    return len(encoded) < _LONGEST_PAIR if codec == "shift_jis" else True
