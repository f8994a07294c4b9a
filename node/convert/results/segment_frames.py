"""The frames of a Segmentation: their pixels, and what is said of each (PS3.3 C.7.6.16, C.8.20).

A mask of twenty organs has a thousand frames and more. As data sets within data sets they took
longer to make and to write than all the rest; here each is some bytes that are put together.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import numpy as np
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import format_number_as_ds

from node.assemble.space import Array
from node.convert.results.grid import SourceFrame, SourceGrid
from node.dicom.element_writer import Writer, in_items

NO_SEGMENT: Final = 0
"""The Segment Number of a frame that has all segments: of a label map."""
FRACTIONS: Final = 255
"""Maximum Fractional Value: what 1 is stored as."""
_WRITER: Final = Writer(ExplicitVRLittleEndian)


class Frames(NamedTuple):
    """The frames of a Segmentation, in its order: by segment, then against the order of the grid.

    Attributes:
        places: Segment Number and number of the source slice of each.
        pixels: value of Pixel Data (7FE0,0010).
    """

    places: list[tuple[int, int]]
    pixels: bytes


def binary(numbers: Array) -> Frames:
    """Return a frame for each segment and slice that has it: one bit a pixel (PS3.5 8.1.1).

    Args:
        numbers: (slice, row, column) Segment Numbers, C order; 0 is no segment.
    """
    places = [(number, at) for at, one in enumerate(numbers) for number in _different(one)]
    places.sort(key=lambda place: (place[0], -place[1]))
    return Frames(places, _even(_bits(numbers[at] == number for number, at in places)))


def label_map(numbers: Array, segments: int) -> Frames:
    """Return a frame for each slice that has a segment: its Segment Numbers.

    Args:
        numbers: (slice, row, column) Segment Numbers; 0 is no segment.
        segments: how many there are.
    """
    kind = np.dtype(np.uint8 if segments < 256 else "<u2")
    return _whole(numbers, NO_SEGMENT, kind)


def fractional(stored: Array) -> Frames:
    """Return a frame for each slice that has a fraction, of segment 1.

    Args:
        stored: (slice, row, column) fractions, of `FRACTIONS`.
    """
    return _whole(stored, 1, np.dtype(np.uint8))


def _whole(slices: Array, segment: int, kind: np.dtype[np.generic]) -> Frames:
    there = [at for at in reversed(range(len(slices))) if slices[at].any()]
    pixels = b"".join(np.ascontiguousarray(slices[at], kind) for at in there)
    return Frames([(segment, at) for at in there], _even(pixels))


def _different(one: Array) -> list[int]:
    """Return the numbers from 1 that a slice has, rising."""
    found: list[int] = np.flatnonzero(np.bincount(one[one > 0])).tolist()
    return found


def _bits(frames: Iterable[Array]) -> bytes:
    """Return frames as bits, each after the last bit of the one before (PS3.5 8.1.1)."""
    parts = []
    rest: Array = np.empty(0, np.bool_)
    for frame in frames:
        bits = np.concatenate((rest, frame.ravel()))
        full = len(bits) // 8 * 8
        parts.append(np.packbits(bits[:full], bitorder="little"))
        rest = bits[full:]
    return b"".join((*parts, np.packbits(rest, bitorder="little")))


def _even(pixels: bytes) -> bytes:
    return pixels + b"\0" if len(pixels) % 2 else pixels


def functional_groups(
    grid: SourceGrid, places: Iterable[tuple[int, int]], pattern: Dataset
) -> bytes:
    """Return the value of Per-Frame Functional Groups Sequence (5200,9230).

    Args:
        grid: whose source frames the slices are.
        places: of `Frames`.
        pattern: the item of one frame, as highdicom made it: its codes are those of all. A segment
            is named in each item if it is named in this one.
    """
    return in_items(_groups(grid, list(places), pattern))


def _groups(
    grid: SourceGrid, places: list[tuple[int, int]], pattern: Dataset
) -> Iterator[bytes]:
    shown = sorted({at for _, at in places}, reverse=True)
    order = {at: number for number, at in enumerate(shown, 1)}
    derived = _Derivation(pattern)
    sources = {at: derived.of(grid.frames[at]) for at in shown}
    planes = {at: _plane(grid.frames[at]) for at in shown}
    named = "SegmentIdentificationSequence" in pattern
    for segment, at in places:
        index = (order[at],) if segment == NO_SEGMENT else (segment, order[at])
        content = _WRITER.element(0x00209157, "UL", struct.pack(f"<{len(index)}L", *index))
        group = sources[at] + _WRITER.sequence(0x00209111, (content,)) + planes[at]
        yield group + _segment(segment) if named else group


class _Derivation:
    """Writes Derivation Image Sequence (0008,9124): which source frame a frame was derived from."""

    def __init__(self, pattern: Dataset) -> None:
        derivation = pattern.DerivationImageSequence[0]
        source = derivation.SourceImageSequence[0]
        self._code = _encoded(derivation, "DerivationCodeSequence")
        self._preserved = _encoded(source, "SpatialLocationsPreserved")
        self._purpose = _encoded(source, "PurposeOfReferenceCodeSequence")

    def of(self, frame: SourceFrame) -> bytes:
        source = [
            _WRITER.element(0x00081150, "UI", frame.sop_class_uid.encode("ascii")),
            _WRITER.element(0x00081155, "UI", frame.sop_instance_uid.encode("ascii")),
        ]
        if frame.frame is not None:
            source.append(_WRITER.element(0x00081160, "IS", b"%d" % frame.frame))
        image = b"".join((*source, self._preserved, self._purpose))
        return _WRITER.sequence(0x00089124, (_WRITER.sequence(0x00082112, (image,)) + self._code,))


def _plane(frame: SourceFrame) -> bytes:
    """Return Plane Position Sequence (0020,9113)."""
    position = "\\".join(format_number_as_ds(float(value)) for value in frame.position)
    return _WRITER.sequence(
        0x00209113, (_WRITER.element(0x00200032, "DS", position.encode("ascii")),)
    )


def _segment(number: int) -> bytes:
    """Return Segment Identification Sequence (0062,000A)."""
    return _WRITER.sequence(
        0x0062000A, (_WRITER.element(0x0062000B, "US", struct.pack("<H", number)),)
    )


def _encoded(item: Dataset, keyword: str) -> bytes:
    """Return one element of an item as it is written."""
    one = Dataset()
    one.add(item[keyword])
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    write_dataset(buffer, one)
    return buffer.getvalue()
