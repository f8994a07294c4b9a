"""Compare the header inside a compressed frame with that of the instance, before decoding."""

from __future__ import annotations

from struct import Struct
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from pydicom.uid import JPEG2000TransferSyntaxes, JPEGLSTransferSyntaxes, JPEGTransferSyntaxes

from node.assemble.frames.model import PixelFormat
from node.assemble.pixels.codecs import strips
from node.core.errors import AssemblyError, Reason

Image = npt.NDArray[Any]

_JPEG_2000: Final = frozenset(JPEG2000TransferSyntaxes)
_JPEG: Final = frozenset([*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes])
_CODESTREAM: Final = b"\xff\x4f\xff\x51"
"""Start of codestream and of its size marker segment: ITU-T T.800 A.4.1, A.5.1."""
_SIZE: Final = Struct(">8x4I16xHB")
"""Right, bottom, left and top, the number of components, and sign and bits of the first."""
_FRAME: Final = Struct(">2xBHHB")
"""Length, precision, lines, samples a line, components: ITU-T T.81 B.2.2, T.87 C.2.2."""
_FRAMES: Final = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
"""Markers of a frame; the excluded ones are of tables."""
_WIDE: Final = 8
"""Bytes of an integer that holds any sample."""
_SCAN, _FILL = 0xDA, 0xFF
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a segment."""


class Stream(NamedTuple):
    """Size and format that a compressed stream states; 0 rows or columns are stated later in it.

    Attributes:
        signed: sign of JPEG 2000; other streams are unsigned.
    """

    rows: int
    columns: int
    samples: int
    bits: int
    signed: bool = False


def check_stream(frame: bytes, pixels: PixelFormat, transfer_syntax_uid: str) -> Stream | None:
    """Refuse a frame whose stream has another size than the image: pixels would be misplaced.

    Args:
        frame: compressed.
        pixels: the format in the instance's header.
        transfer_syntax_uid: of the data set.

    Returns:
        the format that the stream states; None if it states none.

    Raises:
        AssemblyError: they contradict each other.
    """
    found = stream_of(frame, transfer_syntax_uid)
    if found is None:
        return None
    expected = (found.rows and pixels.rows, found.columns and pixels.columns, pixels.samples)
    if expected != found[:3] or found.bits > pixels.bits_allocated:
        raise AssemblyError(
            Reason.PIXELS_UNREADABLE,
            f"The compressed stream has {found.columns} columns, {found.rows} rows and "
            f"{found.samples} samples of {found.bits} bits, and the header says {pixels.columns} "
            f"columns, {pixels.rows} rows and {pixels.samples} samples of "
            f"{pixels.bits_allocated} bits. Rows, Columns or the pixel data were changed in "
            "transit: send the instance again from its original source.",
        )
    return found


def check_values(lowest: int, highest: int, pixels: PixelFormat, stream: Stream) -> None:
    """Refuse values of a stream that do not fit into the bits and sign of the header.

    The stream's own bits and sign count (PS3.5 8.2.4), but voxels have those of the header. If both
    give the same values, it does not matter which is right.

    Args:
        lowest, highest: the smallest and the largest value.
        pixels: the format in the instance's header.
        stream: the format that the stream states.

    Raises:
        AssemblyError: they contradict each other.
    """
    half = 1 << pixels.bits_stored - 1
    low, high = (-half, half - 1) if pixels.signed else (0, 2 * half - 1)
    if low <= lowest and highest <= high:
        return
    raise AssemblyError(
        Reason.PIXELS_UNREADABLE,
        f"The compressed stream has {_named(stream.bits, signed=stream.signed)} and values from "
        f"{lowest} to {highest}, and the header says "
        f"{_named(pixels.bits_stored, signed=pixels.signed)}. One "
        "of the two is wrong: Pixel Representation (0028,0103) or Bits Stored (0028,0101) was "
        "changed, or the pixels were compressed wrongly. Send the instance again from its original "
        "source.",
    )


def check_bits(samples: Image, pixels: PixelFormat, stream: Stream) -> None:
    """Refuse samples of an unsigned stream that have another value in the header's bits.

    A negative value is two's complement in the number of bits that the header states; higher bits
    are zeros or copies of the sign. In a stream of fewer bits it could also be a large value.

    Args:
        samples: (rows, columns) from the codec.
        pixels: the format in the instance's header.
        stream: the format that the stream states.

    Raises:
        AssemblyError: some samples do not fit, or have two meanings.
    """
    stored, signed = pixels.bits_stored, pixels.signed
    if stream.bits == stored or not samples.size:
        return
    parts = strips(len(samples), samples[:1].size * _WIDE)
    if not all(_fit(samples[rows], pixels, stream) for rows in parts):
        raise AssemblyError(
            Reason.PIXELS_UNREADABLE,
            f"The compressed stream has {stream.bits} bits, and its values change in the "
            f"{_named(stored, signed=signed)} that the header says. Bits Stored (0028,0101) or "
            "Pixel Representation (0028,0103) is wrong: send the instance again from its original "
            "source.",
        )


def _fit(samples: Image, pixels: PixelFormat, stream: Stream) -> bool:
    """Tell whether samples have the same values in the header's bits."""
    stored, signed = pixels.bits_stored, pixels.signed
    plain = samples.astype(np.int64) & ((1 << stream.bits) - 1)
    if not signed or stream.bits < stored:
        return int(plain.max()) < 1 << min(stream.bits, stored) - int(signed)
    above, copies = plain >> stored - 1, (1 << stream.bits - stored + 1) - 1
    return bool(((above <= 1) | (above == copies)).all())


def stream_of(frame: bytes, transfer_syntax_uid: str) -> Stream | None:
    """Read the format that a compressed frame states; None if it states none.

    Args:
        frame: compressed.
        transfer_syntax_uid: of the data set.
    """
    if transfer_syntax_uid in _JPEG_2000:
        return _of_codestream(frame)
    return _of_jpeg(frame) if transfer_syntax_uid in _JPEG else None


def _named(bits: int, *, signed: bool) -> str:
    return f"{bits} bits {'with' if signed else 'without'} sign"


def _of_codestream(frame: bytes) -> Stream | None:
    """Read the size of JPEG 2000, with or without the boxes of its file format."""
    at = frame.find(_CODESTREAM)
    if at < 0 or len(frame) < at + _SIZE.size:
        return None
    right, bottom, left, top, samples, depth = _SIZE.unpack_from(frame, at)
    bits, signed = (depth & 0x7F) + 1, bool(depth & 0x80)
    return Stream(bottom - top, right - left, samples, bits, signed)


def _of_jpeg(frame: bytes) -> Stream | None:
    """Read the frame header of JPEG or JPEG-LS; None if there is none before the first scan."""
    at = 2
    while at + 4 <= len(frame) and frame[at] == _FILL:
        marker = frame[at + 1]
        if marker in _FRAMES and at + 2 + _FRAME.size <= len(frame):
            bits, rows, columns, samples = _FRAME.unpack_from(frame, at + 2)
            return Stream(rows, columns, samples, bits)
        if marker == _SCAN:
            return None
        if marker == _FILL:
            at += 1
        elif marker in _ALONE:
            at += 2
        else:
            at += 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
    return None
