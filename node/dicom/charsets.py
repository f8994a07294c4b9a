"""Decode text in any character set of PS3.5 6.1; decoding never fails."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from pydicom.charset import CODES_TO_ENCODINGS, default_encoding, python_encoding

_ESCAPE: Final = b"\x1b"
_SHIFTED: Final = frozenset({"iso2022_jp", "iso2022_jp_2"})
"""Character sets with two 7-bit bytes a character, in which bytes may look like delimiters."""
_RESET: Final = re.compile(rb"[\\^=\r\n\f\t]")
"""Characters that switch back to the first character set (PS3.5 6.1.2.5.3)."""


@lru_cache(maxsize=64)
def _first_codec(charset: str) -> str:
    """Return Python's codec for the first value of Specific Character Set (0008,0005)."""
    first = charset.split("\\", 1)[0].strip(" \0").upper()
    return python_encoding.get(first, default_encoding)


def decode(raw: bytes, charset: str) -> str:
    """Decode a text value; invalid bytes become U+FFFD.

    Args:
        raw: the value field.
        charset: value of Specific Character Set (0008,0005); empty for the default.

    Examples:
        >>> decode(b"M\\xfcller", "ISO_IR 100")
        'Müller'
    """
    if _ESCAPE not in raw:
        return raw.decode("ascii") if raw.isascii() else _plain(raw, _first_codec(charset))
    first = _first_codec(charset)
    head, *escaped = raw.split(_ESCAPE)
    return _plain(head, first) + "".join(_escaped(_ESCAPE + part, first) for part in escaped)


def _escaped(part: bytes, first: str) -> str:
    """Decode an escape sequence and the text after it (PS3.3 C.12.1.1.2)."""
    for length in (4, 3):
        codec = CODES_TO_ENCODINGS.get(part[:length])
        if codec in _SHIFTED:
            return _plain(part, codec)
        if codec is not None:
            body = part[length:]
            reset = _RESET.search(body)
            stop = reset.start() if reset else len(body)
            return _plain(body[:stop], codec) + _plain(body[stop:], first)
    return _plain(part, first)


def _plain(raw: bytes, codec: str) -> str:
    return raw.decode(codec, errors="replace")
