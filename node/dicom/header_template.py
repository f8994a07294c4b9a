"""Scan data sets whose headers are mostly equal to the header before, by comparing them with it.

The headers of one association differ in a dozen of their hundreds of elements. These are read, and
the bytes between them are compared with those of the header before. A header that does not fit is
scanned as usual.
"""

from __future__ import annotations

from contextlib import suppress
from struct import error as StructError  # noqa: N812 - an exception, and it reads as one
from typing import Final, NamedTuple

from node.core.errors import MalformedDataSet
from node.dicom.element_encoding import (
    BIG,
    LITTLE,
    LONG_VRS,
    SHORT_VRS,
    UNDEFINED,
    Buffer,
    Codec,
    Encoding,
    swap,
)
from node.dicom.element_walk import Found, Pixels, read_level, shown_encoding
from node.dicom.nesting import skip_open
from node.dicom.scanner import Scanned, encoding_of, scanned
from node.dicom.values import CHARSET, PIXEL_REPRESENTATION, TemplateCache, is_creator

LARGEST: Final = 1 << 17
"""Bytes of the largest header that is kept as a template."""
_LONGER: Final = 1024  # bytes by which the next header may be longer
_TRIES: Final = 16  # after this many misses in a row no template is tried
_PAUSE: Final = 256  # for this many data sets
_SEQUENCES: Final = frozenset({b"SQ", None})  # VRs that may have undefined length


class _Element(NamedTuple):
    tag: int
    vr: bytes | None
    fixed: int  # bytes before its length
    wide: bool  # whether its length has 32 bits
    whole: bytes


class _Step(NamedTuple):
    """Bytes that are the same in all headers, up to the length of an element that varies."""

    same: bytes
    tag: int
    vr: bytes | None
    wide: bool


class _Pattern:
    """The header of one data set, split so that others can be compared with it.

    Attributes:
        varying: tags of the elements that vary.
        cache: results for the data sets that fit.
        encoding: how it is encoded.
        pixels: tag and VR of its pixel data.

    Args:
        elements: the elements before the pixel data.
        found: the same, without those that are not wanted.
        varying: tags of the elements that vary.
        syntax: Transfer Syntax UID.
        encoding: how it is encoded.
        pixels: tag and VR of its pixel data.
        pixel_head: the beginning of the pixel data element, up to a length of 32 bits; empty if the
            length is encoded differently.
    """

    def __init__(
        self,
        elements: list[_Element],
        found: Found,
        varying: frozenset[int],
        syntax: str,
        encoding: Encoding,
        pixels: tuple[int, bytes | None],
        pixel_head: bytes,
    ) -> None:
        self.varying = varying
        self.cache = TemplateCache(varying)
        self.encoding = encoding
        self.pixels = pixels
        self._pixel_head = pixel_head
        self._elements = elements
        self._found = found
        self._syntax = syntax
        self._codec = LITTLE if encoding.little else BIG
        self._length = sum(len(one.whole) for one in elements)
        self._steps: list[_Step] = []
        same: list[bytes] = []
        for one in elements:
            if one.tag in varying:
                same.append(one.whole[: one.fixed])
                self._steps.append(_Step(b"".join(same), one.tag, one.vr, one.wide))
                same = []
            else:
                same.append(one.whole)
        self._end = b"".join(same)

    def match(self, data: Buffer, syntax: str) -> tuple[Found, int] | None:
        """Read a data set up to its pixel data.

        Its first element does not vary, so that it shows the same encoding.

        Args:
            data: the data set.
            syntax: Transfer Syntax UID.

        Returns:
            its elements and where they end; None if it does not fit.
        """
        if syntax != self._syntax:
            return None
        head = bytes(data[: self._length + _LONGER])
        found = dict(self._found)
        order, size, at = "little" if self.encoding.little else "big", len(head), 0
        for same, tag, vr, wide in self._steps:
            if not head.startswith(same, at):
                return None
            at += len(same)
            start = at + (4 if wide else 2)
            length = int.from_bytes(head[at:start], order)  # type: ignore[arg-type]
            stop = at = start + length
            if length == UNDEFINED and wide:
                stop, at = self._walked(data, start, vr)
            if at > size:
                return None
            if tag in found:
                found[tag] = (vr, head[start:stop])
        if not head.startswith(self._end, at):
            return None
        return found, at + len(self._end)

    def pixels_alone(self, data: Buffer, at: int) -> Pixels | None:
        """Return the pixel data at an offset, if they are encoded as those of the template and end
        the data set; None if they have to be scanned.

        Args:
            data: the data set.
            at: the offset.
        """
        start = at + len(self._pixel_head) + 4
        length = len(data) - start
        if (
            not self._pixel_head
            or length < 0
            or data[at : start - 4] != self._pixel_head
            or self._codec.long.unpack_from(data, start - 4)[0] != length
        ):
            return None
        return Pixels(*self.pixels, start, length)

    def _walked(self, data: Buffer, start: int, vr: bytes | None) -> tuple[int, int]:
        """Return the ends of a sequence's value and delimiter; beyond the data if invalid."""
        if vr in _SEQUENCES:
            with suppress(MalformedDataSet, StructError):
                return skip_open(data, start, self._codec, implicit=vr is None)
        return len(data), len(data) + _LONGER

    def differing(self, others: list[_Element]) -> frozenset[int] | None:
        """Return the tags of elements that vary; None if other things than values differ."""
        if [one[:-1] for one in self._elements] != [one[:-1] for one in others]:
            return None
        pairs = zip(self._elements, others, strict=True)
        return self.varying | {one.tag for one, other in pairs if one.whole != other.whole}


class HeaderTemplate:
    """Scans data sets whose headers are mostly equal to the one before. For one thread.

    Args:
        wanted: the tags to keep; None keeps all.
    """

    def __init__(self, wanted: frozenset[int] | None = None) -> None:
        self._wanted = wanted
        self._pattern: _Pattern | None = None
        self._misses = 0

    def scan(self, data: Buffer, transfer_syntax_uid: str) -> Scanned:
        """Return what `node.dicom.scan` returns, in less time if the header fits the template.

        Args:
            data: the data set, without preamble and meta information.
            transfer_syntax_uid: its transfer syntax.

        Raises:
            MalformedDataSet: it is truncated, a length is wrong, or it is no data set at all.
        """
        pattern = self._pattern
        if pattern is not None and (match := pattern.match(data, transfer_syntax_uid)):
            found, at = match
            encoding = pattern.encoding
            rest: Found = {}
            pixels = pattern.pixels_alone(data, at)
            if pixels is None:
                rest, pixels = read_level(data, encoding, self._wanted, at)
            if not rest and pixels is not None and pixels[:2] == pattern.pixels:
                self._misses = 0
                return scanned(found, pixels, encoding, pattern.cache)
            return scanned(found | rest, pixels, encoding)
        encoding = shown_encoding(data, encoding_of(transfer_syntax_uid))
        found, pixels = read_level(data, encoding, self._wanted)
        if self._misses < _TRIES:
            self._pattern = self._learned(data, pixels, transfer_syntax_uid, encoding)
        self._misses = (self._misses + 1) % _PAUSE
        return scanned(found, pixels, encoding)

    def _learned(
        self, data: Buffer, pixels: Pixels | None, syntax: str, encoding: Encoding
    ) -> _Pattern | None:
        elements = _split(data, encoding)
        if not elements or pixels is None:
            return None
        before = self._pattern
        varying = None if before is None else before.differing(elements)
        if varying is None:
            varying = frozenset()
        # the first element shows the encoding, and some others how further elements are read
        if elements[0].tag in varying or any(map(_affects_reading, varying)):
            return None
        # elements after the pixel data are left out, as other data sets need not have them
        at = sum(len(one.whole) for one in elements)
        found = read_level(data[:at], encoding, self._wanted).found
        return _Pattern(
            elements,
            found,
            varying,
            syntax,
            encoding,
            pixels[:2],
            _pixel_head(data, at, encoding, pixels),
        )


def _pixel_head(data: Buffer, at: int, encoding: Encoding, pixels: Pixels) -> bytes:
    """Return the beginning of the pixel data element, up to a length of 32 bits; empty if these are
    not the pixel data that count, or their length is encoded differently."""
    head = bytes(data[at : at + (4 if encoding.implicit else 8)])
    (raw,) = (LITTLE if encoding.little else BIG).long.unpack_from(head)
    usual = encoding.implicit or head[4:6] in LONG_VRS
    counts = (swap(raw, encoding.little), head[4:6] or None) == pixels[:2]
    return head if usual and counts else b""


def _affects_reading(tag: int) -> bool:
    return is_creator(tag) or tag in {CHARSET, PIXEL_REPRESENTATION}


def _split(data: Buffer, encoding: Encoding) -> list[_Element] | None:
    """Return the elements before the pixel data; None without pixel data, or if the reading of an
    element depends on the bytes after it."""
    codec = LITTLE if encoding.little else BIG
    elements: list[_Element] = []
    at = 0
    while at + 12 <= len(data):
        (raw,) = codec.long.unpack_from(data, at)
        if raw in codec.pixels:
            return elements
        one = _element(data, at, codec, implicit=encoding.implicit)
        if one is None:
            return None
        elements.append(one)
        at += len(one.whole)
    return None


def _element(data: Buffer, at: int, codec: Codec, *, implicit: bool) -> _Element | None:
    raw, vr, length = codec.explicit.unpack_from(data, at)
    fixed, wide = 4, True
    if implicit:
        vr = None
        (length,) = codec.long.unpack_from(data, at + 4)
    elif vr in SHORT_VRS:
        fixed, wide = 6, False
    elif vr in LONG_VRS:
        fixed = 8
        (length,) = codec.long.unpack_from(data, at + 8)
    else:
        return None
    start = at + fixed + (4 if wide else 2)
    end = start + length
    if wide and length == UNDEFINED:
        if vr not in _SEQUENCES:
            return None
        try:
            _, end = skip_open(data, start, codec, implicit=implicit, strict=True)
        except MalformedDataSet:
            return None
    if raw == 0 or end > LARGEST:
        return None
    return _Element(swap(raw, codec.little), vr, fixed, wide, bytes(data[at:end]))
