"""Data sets that are like the one before: what is the same in them is not taken apart again.

The headers of one association differ in a dozen of their hundreds of elements. Those are read,
and the bytes between them compared with what they were. Whatever does not fit is scanned as ever.
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
from node.dicom.values import CHARSET, PIXEL_REPRESENTATION, is_creator

LARGEST: Final = 1 << 17
"""Bytes before the pixel data of what is remembered: it stays in memory."""
_LONGER: Final = 1024  # bytes by which the next header may be longer
_TRIES: Final = 16  # misses in a row: these are not alike,
_PAUSE: Final = 256  # and that is not tried again for so many
_SEQUENCES: Final = frozenset({b"SQ", None})  # that may be of undefined length


class _Element(NamedTuple):
    tag: int
    vr: bytes | None
    fixed: int  # bytes before its length
    wide: bool  # whether its length has 32 bits
    whole: bytes


class _Step(NamedTuple):
    """What is the same, up to the length of an element that may differ, and that element."""

    same: bytes
    tag: int
    vr: bytes | None
    wide: bool


class _Pattern:
    """One data set, taken apart so that others can be compared with it.

    Attributes:
        encoding: how it is written.
        pixels: tag and VR of its pixel data.

    Args:
        pixel_head: what its pixel data begin with, up to 32 bits of length; empty if their length
            is written otherwise.
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

        Its first element is the same and there as a whole, so that it shows the same encoding.

        Returns:
            its elements and where they end; None if it is not like the others.
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
        """The pixel data that begin at `at`, if they are written as its own were and end the data
        set; None if somebody has to look closer."""
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
        """Where the value of a sequence and its delimiter end; beyond everything if it is none."""
        if vr in _SEQUENCES:
            with suppress(MalformedDataSet, StructError):
                return skip_open(data, start, self._codec, implicit=vr is None)
        return len(data), len(data) + _LONGER

    def differing(self, others: list[_Element]) -> frozenset[int] | None:
        """The tags that differ in elements that were taken apart; None if it is not their values
        alone."""
        if [one[:-1] for one in self._elements] != [one[:-1] for one in others]:
            return None
        pairs = zip(self._elements, others, strict=True)
        return self.varying | {one.tag for one, other in pairs if one.whole != other.whole}


class HeaderTemplate:
    """Scans data sets of which most are like the one before. For one thread.

    Args:
        wanted: the tags to keep; None keeps all.
    """

    def __init__(self, wanted: frozenset[int] | None = None) -> None:
        self._wanted = wanted
        self._pattern: _Pattern | None = None
        self._misses = 0

    def scan(self, data: Buffer, transfer_syntax_uid: str) -> Scanned:
        """What `node.dicom.scan` returns; if it is like the one before, sooner.

        Raises:
            MalformedDataSet: as that does.
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
                return scanned(found, pixels, encoding)
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
        # The first element shows how all are written, and some others how more are read.
        if elements[0].tag in varying or any(map(_affects_reading, varying)):
            return None
        # What stands behind the pixel data is not among it: others need not have that.
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
    """What the pixel data at `at` begin with, up to a length of 32 bits; empty if these are not the
    ones that count, or their length is written otherwise."""
    head = bytes(data[at : at + (4 if encoding.implicit else 8)])
    (raw,) = (LITTLE if encoding.little else BIG).long.unpack_from(head)
    usual = encoding.implicit or head[4:6] in LONG_VRS
    counts = (swap(raw, encoding.little), head[4:6] or None) == pixels[:2]
    return head if usual and counts else b""


def _affects_reading(tag: int) -> bool:
    return is_creator(tag) or tag in {CHARSET, PIXEL_REPRESENTATION}


def _split(data: Buffer, encoding: Encoding) -> list[_Element] | None:
    """The elements before the pixel data; None if there are no pixel data, or how an element is
    read depends on what comes after it."""
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
