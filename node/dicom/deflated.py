"""Read the header of deflated data sets without holding the inflated pixel data (PS3.5 A.5)."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

from node.core.errors import MalformedDataSet
from node.dicom import Buffer, Elements, encoding_of, scan
from node.dicom.element_encoding import KNOWN_VRS, LITTLE, LONG_VRS, PIXEL_TAGS, UNDEFINED, swap
from node.dicom.nesting import skip_open
from node.dicom.scanner import DEFLATED

LARGEST: Final = 1 << 30  # bytes; a data set that inflates to more is refused
_KEPT: Final = 16 << 20  # bytes from the beginning, in which all elements but pixel data must lie
_STEP: Final = 1 << 20
_PIXELS: Final = frozenset(swap(tag, True) for tag in PIXEL_TAGS)


@dataclass(frozen=True, slots=True)
class Inflated:
    """The beginning of an inflated data set, and the size of the whole."""

    head: bytes
    size: int


def header_of(data_set: Buffer) -> Elements:
    """Return the elements of a deflated data set, without its pixel data.

    Raises:
        MalformedDataSet: it is not deflated, is cut off, inflates to too much, or is no data set.
    """
    inflated = _inflate(data_set)
    if len(inflated.head) == inflated.size:
        return scan(inflated.head, DEFLATED).elements
    return scan(inflated.head[: _up_to_pixels(inflated)], DEFLATED).elements


def _inflate(data_set: Buffer) -> Inflated:
    for window in (-zlib.MAX_WBITS, zlib.MAX_WBITS):  # some writers add a zlib header
        try:
            return _inflate_as(data_set, window)
        except zlib.error:
            continue
    raise MalformedDataSet("The data set is not deflated, although its transfer syntax says so.")


def _inflate_as(data_set: Buffer, window: int) -> Inflated:
    stream = zlib.decompressobj(window)
    head, size = bytearray(), 0
    view = memoryview(data_set)
    for at in range(0, len(view), _STEP):
        more: bytes | memoryview = view[at : at + _STEP]
        while more:
            piece = stream.decompress(more, _STEP)
            size += len(piece)
            head += piece[: max(0, _KEPT - len(head))]
            if size > LARGEST:
                raise MalformedDataSet(f"The deflated data set grows beyond {LARGEST} bytes.")
            more = stream.unconsumed_tail
        if stream.eof:
            return Inflated(bytes(head), size)
    raise MalformedDataSet("The deflated data set is cut off.")


def _up_to_pixels(inflated: Inflated) -> int:
    """Return the offset of the pixel data element, which must end within the data set."""
    head, at = inflated.head, 0
    while at + 12 <= len(head):
        raw, vr, length = LITTLE.explicit.unpack_from(head, at)
        start = at + 8
        if vr in LONG_VRS:
            (length,) = LITTLE.long.unpack_from(head, start)
            start += 4
        elif vr not in KNOWN_VRS:
            break
        if raw in _PIXELS:
            if length == UNDEFINED or start + length > inflated.size:
                raise MalformedDataSet("The pixel data end beyond the deflated data set.")
            return at
        if length == UNDEFINED:
            _, at = skip_open(head, start, LITTLE, implicit=encoding_of(DEFLATED).implicit)
        else:
            at = start + length
    raise MalformedDataSet("The deflated data set is large, and not because of pixel data.")
