"""The frames of a Segmentation: their pixels, and what is said of each (PS3.3 C.7.6.16, C.8.20).

A mask of twenty organs has a thousand frames and more. As data sets within data sets they took
longer to make and to write than all the rest; here each is some bytes that are put together.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import format_number_as_ds

from node.assemble.space import Array
from node.convert.results.codes import Code
from node.convert.results.grid import SourceFrame, SourceGrid
from node.convert.results.masks import different
from node.convert.results.options import Form
from node.convert.results.source import SOURCE_IMAGE
from node.dicom.element_writer import Writer, in_items

NO_SEGMENT: Final = 0
"""The Segment Number of a frame that has all segments: of a label map."""
FRACTIONS: Final = 255
"""Maximum Fractional Value: what 1 is stored as."""
_DERIVED: Final = Code("113076", "DCM", "Segmentation")
"""CID 7203."""
_WRITER: Final = Writer(ExplicitVRLittleEndian)


class Frames(NamedTuple):
    """The frames of a Segmentation, in its order: by segment, then against the order of the grid.

    Attributes:
        places: Segment Number and number of the source slice of each.
        pixels: value of Pixel Data (7FE0,0010).
    """

    places: list[tuple[int, int]]
    pixels: bytes


def bits_of(form: Form, segments: int) -> int:
    """Return how many bits a pixel has.

    Args:
        form: which kind of Segmentation.
        segments: how many there are.
    """
    if form is Form.BINARY:
        return 1
    return 16 if form is Form.LABELMAP and segments > 255 else 8


def binary(numbers: Array) -> Frames:
    """Return a frame for each segment and slice that has it: one bit a pixel (PS3.5 8.1.1).

    Args:
        numbers: (slice, row, column) Segment Numbers, C order; 0 is no segment.
    """
    places = [(number, at) for at, one in enumerate(numbers) for number in different(one)]
    places.sort(key=lambda place: (place[0], -place[1]))
    return Frames(places, _bits(numbers[at] == number for number, at in places))


def label_map(numbers: Array, segments: int) -> Frames:
    """Return a frame for each slice that has a segment: its Segment Numbers.

    Args:
        numbers: (slice, row, column) Segment Numbers; 0 is no segment.
        segments: how many there are.
    """
    kind = np.dtype("<u2" if bits_of(Form.LABELMAP, segments) == 16 else np.uint8)
    return _whole(numbers, NO_SEGMENT, kind)


def fractional(stored: Array) -> Frames:
    """Return a frame for each slice that has a fraction, of segment 1.

    Args:
        stored: (slice, row, column) fractions, of `FRACTIONS`.
    """
    return _whole(stored, 1, np.dtype(np.uint8))


def _whole(slices: Array, segment: int, kind: np.dtype[np.generic]) -> Frames:
    there = [at for at in reversed(range(len(slices))) if slices[at].any()]
    pixels = b"".join(np.ascontiguousarray(slices[at], kind).data for at in there)
    return Frames([(segment, at) for at in there], pixels)


def _bits(frames: Iterable[Array]) -> bytes:
    """Return frames as bits, each after the last bit of the one before (PS3.5 8.1.1)."""
    parts = []
    rest: Array = np.empty(0, np.bool_)
    for frame in frames:
        bits = np.concatenate((rest, frame.ravel())) if len(rest) else frame.ravel()
        full = len(bits) // 8 * 8
        parts.append(np.packbits(bits[:full], bitorder="little").data)
        rest = bits[full:]
    return b"".join((*parts, np.packbits(rest, bitorder="little").data))


def functional_groups(grid: SourceGrid, places: Sequence[tuple[int, int]], *, named: bool) -> bytes:
    """Return the value of Per-Frame Functional Groups Sequence (5200,9230).

    Args:
        grid: whose source frames the slices are.
        places: of `Frames`.
        named: each says its segment; else Shared Functional Groups Sequence does, or there is none.
    """
    shown = sorted({at for _, at in places}, reverse=True)
    order = {at: number for number, at in enumerate(shown, 1)}
    sources = {at: _derivation(grid.frames[at]) for at in shown}
    planes = {at: _plane(grid.frames[at]) for at in shown}
    groups = []
    for segment, at in places:
        index = (order[at],) if segment == NO_SEGMENT else (segment, order[at])
        content = _element(0x00209157, "UL", struct.pack(f"<{len(index)}L", *index))
        group = sources[at] + _sequence(0x00209111, content) + planes[at]
        groups.append(group + _segment(segment) if named else group)
    return in_items(groups)


def _derivation(frame: SourceFrame) -> bytes:
    """Return Derivation Image Sequence (0008,9124): which source frame a frame was derived from."""
    source = [
        _element(0x00081150, "UI", frame.sop_class_uid.encode("ascii")),
        _element(0x00081155, "UI", frame.sop_instance_uid.encode("ascii")),
    ]
    if frame.frame is not None:
        source.append(_element(0x00081160, "IS", b"%d" % frame.frame))
    source.append(_element(0x0028135A, "CS", b"YES"))  # Spatial Locations Preserved
    source.append(_code(0x0040A170, SOURCE_IMAGE))
    image = _sequence(0x00082112, b"".join(source))
    return _sequence(0x00089124, image + _code(0x00089215, _DERIVED))


def _plane(frame: SourceFrame) -> bytes:
    """Return Plane Position Sequence (0020,9113)."""
    position = "\\".join(format_number_as_ds(float(value)) for value in frame.position)
    return _sequence(0x00209113, _element(0x00200032, "DS", position.encode("ascii")))


def _segment(number: int) -> bytes:
    """Return Segment Identification Sequence (0062,000A)."""
    return _sequence(0x0062000A, _element(0x0062000B, "US", struct.pack("<H", number)))


def _code(tag: int, code: Code) -> bytes:
    """Return a sequence of one code (PS3.3 Table 8.8-1)."""
    return _sequence(
        tag,
        _element(0x00080100, "SH", code.value.encode("ascii"))
        + _element(0x00080102, "SH", code.scheme.encode("ascii"))
        + _element(0x00080104, "LO", code.meaning.encode("ascii")),
    )


def _sequence(tag: int, item: bytes) -> bytes:
    return _WRITER.sequence(tag, (item,))


def _element(tag: int, vr: str, value: bytes) -> bytes:
    return _WRITER.element(tag, vr, value)
