"""Stored pixel values of one frame, from native bytes (PS3.5 8.1) or from a codec."""

from __future__ import annotations

import warnings
from io import BytesIO
from struct import error as StructError  # noqa: N812 - an exception, and it reads as one
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
from pydicom.encaps import generate_fragments, generate_frames, parse_basic_offsets
from pydicom.uid import (
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    RLELossless,
)

from node.assemble.frames.model import PixelFormat
from node.assemble.pixels.codecs import ENDED, decoded, native_colour, runs, wavelets
from node.assemble.pixels.compressed_headers import Stream, check_bits, check_stream, check_values
from node.assemble.pixels.jpeg12 import twelve_bits
from node.core.errors import AssemblyError, Reason
from node.dicom import Buffer

Image = npt.NDArray[Any]

PALETTE: Final = "PALETTE COLOR"
RGB: Final = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
"""NIfTI's RGB24."""

_MOST_PADDING: Final = 16
"""Bytes that may follow the end of a JPEG stream in its fragment."""
_OWN_FORMAT: Final = frozenset([*JPEG2000TransferSyntaxes, JPEGBaseline8Bit, JPEGExtended12Bit])
"""Transfer syntaxes whose streams have their own bits, and in JPEG 2000 sign. Lossy JPEG has no
sign (PS3.5 8.2.1), as it would blur two's complement where that wraps around."""
_BYTE: Final = 8
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_FLOATS: Final = {"float": "<f4", "double": "<f8"}


def is_colour(pixels: PixelFormat) -> bool:
    """Tell whether pixels become triples of red, green and blue."""
    return pixels.samples == 3 or pixels.photometric == PALETTE


def frame_bytes(pixels: PixelFormat) -> int:
    """Return the number of bytes of one native frame (PS3.5 8.1.1, C.7.6.3.1.2)."""
    if pixels.photometric == "YBR_FULL_422":
        return pixels.rows * pixels.columns * 2
    return pixels.rows * pixels.columns * pixels.samples * pixels.bits_allocated // 8


def frame_span(pixels: PixelFormat, index: int) -> tuple[int, int]:
    """Return the first byte of a native frame in the pixel data, and the byte after its last.

    Frames of single bits follow each other without padding (PS3.5 8.1.1): the span begins at an
    even byte and includes bits of the neighbouring frames.

    Args:
        pixels: the pixel format.
        index: frame, from 0.
    """
    if pixels.bits_allocated == 1:
        bits = pixels.rows * pixels.columns * pixels.samples
        return bits * index // 16 * 2, -(-bits * (index + 1) // 16) * 2
    size = frame_bytes(pixels)
    return size * index, size * (index + 1)


def bit_frame(raw: Buffer, pixels: PixelFormat, index: int) -> Image:
    """Return a native frame of single bits (PS3.5 8.1.1, D.2).

    Args:
        raw: the bytes of `frame_span`; an odd last byte may be absent.
        pixels: their format.
        index: frame, from 0.

    Returns:
        (rows, columns) uint8, 0 and 1.

    Raises:
        AssemblyError: there are too few bytes.
    """
    count = pixels.rows * pixels.columns
    first = count * index % 16
    whole = np.frombuffer(raw, np.uint8)
    if pixels.swapped:
        whole = whole[: len(whole) // 2 * 2].view(">u2").astype("<u2").view(np.uint8)
    bits = np.unpackbits(whole, bitorder="little")[first : first + count]
    if bits.size < count:
        raise _truncated(count // 8, len(raw))
    return bits.reshape(pixels.rows, pixels.columns)


def _truncated(expected: int, found: int) -> AssemblyError:
    return AssemblyError(
        Reason.PIXELS_TRUNCATED,
        f"A frame should have {expected} bytes of pixel data and has {found}. Send the instance "
        "again from its original source.",
    )


def check_supported(pixels: PixelFormat) -> None:
    """Refuse pixel formats that cannot be read.

    Raises:
        AssemblyError: neither grey values nor 8-bit colour in whole bytes.
    """
    if pixels.samples not in {1, 3} or (pixels.samples == 3 and pixels.bits_allocated != 8):
        raise AssemblyError(
            Reason.UNSUPPORTED_PIXELS,
            f"Pixels of {pixels.samples} samples of {pixels.bits_allocated} bits are not "
            "supported: only grey values and colours of 3 x 8 bits are. The instances stay "
            "archived as they are.",
        )
    if pixels.bits_allocated not in {1, 8, 16, 32, 64}:
        raise AssemblyError(
            Reason.UNSUPPORTED_PIXELS,
            f"Bits Allocated (0028,0100) of {pixels.bits_allocated} is not supported: only 1, 8, "
            "16, 32 and 64 are. The instances stay archived as they are.",
        )
    if not 0 < pixels.bits_stored <= pixels.high_bit + 1 <= pixels.bits_allocated:
        raise AssemblyError(
            Reason.UNSUPPORTED_PIXELS,
            f"Bits Stored (0028,0101) of {pixels.bits_stored}, High Bit (0028,0102) of "
            f"{pixels.high_bit} and Bits Allocated (0028,0100) of {pixels.bits_allocated} "
            "contradict each other. Send the images again from their original source.",
        )


def native_frame(raw: Buffer, pixels: PixelFormat, *, little: bool) -> Image:
    """Return the stored values of one uncompressed frame.

    Args:
        raw: the bytes of this frame.
        pixels: their format.
        little: the byte order is little endian.

    Returns:
        (rows, columns), or (rows, columns, 3) for colour, in native byte order.

    Raises:
        AssemblyError: there are too few bytes.
    """
    if len(raw) < frame_bytes(pixels):
        raise _truncated(frame_bytes(pixels), len(raw))
    if pixels.samples == 3:
        return native_colour(raw, pixels, little=little)
    count = pixels.rows * pixels.columns
    if pixels.kind != "integer":
        floats: Image = np.frombuffer(raw, _FLOATS[pixels.kind], count)
        return floats.reshape(pixels.rows, pixels.columns)
    if pixels.swapped and pixels.bits_allocated == 8:
        raw = np.frombuffer(raw[: len(raw) // 2 * 2], ">u2").astype("<u2").view(np.uint8).data
    size = pixels.bits_allocated // 8
    sign = "i" if pixels.signed else "u"
    order = "<" if little else ">"
    stored = np.frombuffer(raw, f"{order}{sign}{size}", count).reshape(pixels.rows, pixels.columns)
    return _only_stored_bits(stored.astype(f"={sign}{size}", copy=False), pixels)


def split_frames(raw: bytes, count: int) -> list[bytes]:
    """Return the compressed frames of encapsulated pixel data (PS3.5 A.4).

    No fragment holds more than one frame. The offset table, which is often wrong, is used only if
    there are several frames and more fragments than frames.

    Args:
        raw: the value: Basic Offset Table and all fragments.
        count: Number of Frames (0028,0008).

    Raises:
        AssemblyError: the fragments do not make this number of frames.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fragments = _fragments(raw)
            if count == 1:
                frames = [b"".join(fragments)]
            elif len(fragments) == count:
                frames = fragments
            else:
                frames = list(generate_frames(raw, number_of_frames=count))
    except (ValueError, EOFError, StructError) as error:
        raise AssemblyError(
            Reason.PIXELS_UNREADABLE,
            f"The fragments of the pixel data make no frames ({error}). Send the instance again "
            "from its original source.",
        ) from error
    if len(frames) < count:
        raise AssemblyError(
            Reason.PIXELS_TRUNCATED,
            f"The pixel data have fragments for {len(frames)} of {count} frames. Send the instance "
            "again from its original source.",
        )
    return frames


def _fragments(raw: bytes) -> list[bytes]:
    buffer = BytesIO(raw)
    parse_basic_offsets(buffer)
    return list(generate_fragments(buffer))


def compressed_frame(frame: bytes, pixels: PixelFormat, transfer_syntax_uid: str) -> Image:
    """Return the stored values of one compressed frame.

    Args:
        frame: from `split_frames`.
        pixels: the format of the decompressed values.
        transfer_syntax_uid: chooses the codec.

    Returns:
        (rows, columns), or (rows, columns, 3) RGB.

    Raises:
        AssemblyError: the frame is damaged, truncated or contradicts the header.
    """
    if not frame:
        raise AssemblyError(
            Reason.PIXELS_TRUNCATED,
            "A compressed frame is empty. Send the instance again from its original source.",
        )
    if transfer_syntax_uid in ENDED and not (
        frame.startswith(_JPEG_START) and _JPEG_END in frame[-_MOST_PADDING:]
    ):
        raise AssemblyError(
            Reason.PIXELS_TRUNCATED,
            "A JPEG stream is cut off before its end. Send the instance again from its original "
            "source.",
        )
    stream = check_stream(frame, pixels, transfer_syntax_uid)
    if transfer_syntax_uid != RLELossless and pixels.high_bit + 1 != pixels.bits_stored:
        raise AssemblyError(
            Reason.UNSUPPORTED_PIXELS,
            f"High Bit (0028,0102) is {pixels.high_bit}, and has to be {pixels.bits_stored - 1} "
            f"for {pixels.bits_stored} Bits Stored (0028,0101), as compressed values have no "
            "unused bits. Correct it, or send the images again from their original source.",
        )
    if stream and pixels.samples == 1 and transfer_syntax_uid in _OWN_FORMAT:
        return _by_stream(frame, pixels, stream, transfer_syntax_uid)
    if transfer_syntax_uid == RLELossless and pixels.samples == 1:
        return _only_stored_bits(runs(frame, pixels), pixels)
    image = decoded(frame, pixels, transfer_syntax_uid)
    if pixels.samples == 3:
        return image
    if stream is not None:
        check_bits(image, pixels, stream)
    return _only_stored_bits(image, pixels)


def _by_stream(frame: bytes, pixels: PixelFormat, stream: Stream, syntax: str) -> Image:
    """Decode grey values with the stream's own bits and sign (PS3.5 8.2.1, 8.2.4)."""
    if syntax == JPEGExtended12Bit and stream.bits > _BYTE:
        image = twelve_bits(frame, pixels, stream)
    else:
        own = msgspec.structs.replace(
            pixels,
            bits_allocated=pixels.bits_allocated if stream.bits > _BYTE else _BYTE,
            bits_stored=stream.bits,
            high_bit=stream.bits - 1,
            signed=stream.signed,
        )
        by_wavelets = syntax in JPEG2000TransferSyntaxes
        image = wavelets(frame, own) if by_wavelets else decoded(frame, own, syntax)
    check_values(int(image.min()), int(image.max()), pixels, stream)
    whole_bytes = max(1, pixels.bits_allocated // _BYTE)  # single bits come in bytes
    return image.astype(f"{'i' if pixels.signed else 'u'}{whole_bytes}", copy=False)


def _only_stored_bits(stored: Image, pixels: PixelFormat) -> Image:
    """Clear bits that are not of the value, such as overlays, and extend the sign (PS3.5 8.1.1)."""
    unused = pixels.bits_allocated - pixels.bits_stored
    if not unused or pixels.kind != "integer":
        return stored
    up = pixels.bits_allocated - 1 - pixels.high_bit
    own = stored if stored.flags.writeable else None  # shift in place
    shifted = np.left_shift(stored, up, out=own)
    return np.right_shift(shifted, unused, out=shifted)
