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
_SPEAKING: Final = frozenset([*JPEG2000TransferSyntaxes, JPEGBaseline8Bit, JPEGExtended12Bit])
"""Transfer syntaxes of streams whose bits, and sign if they have one, count. Sums of cosines have
none (PS3.5 8.2.1): two's complement would be torn where it wraps around."""
_BYTE: Final = 8
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_FLOATS: Final = {"float": "<f4", "double": "<f8"}


def is_colour(pixels: PixelFormat) -> bool:
    """Tell whether a pixel is a triple of red, green and blue in the end."""
    return pixels.samples == 3 or pixels.photometric == PALETTE


def frame_bytes(pixels: PixelFormat) -> int:
    """Return the number of bytes of one native frame (PS3.5 8.1.1, C.7.6.3.1.2)."""
    if pixels.photometric == "YBR_FULL_422":
        return pixels.rows * pixels.columns * 2
    return pixels.rows * pixels.columns * pixels.samples * pixels.bits_allocated // 8


def frame_span(pixels: PixelFormat, index: int) -> tuple[int, int]:
    """Return where a native frame begins and ends, in bytes of the pixel data.

    Frames of single bits follow each other without padding (PS3.5 8.1.1): the bytes include the
    neighbours' bits, and begin at an even byte.
    """
    if pixels.bits_allocated == 1:
        bits = pixels.rows * pixels.columns * pixels.samples
        return bits * index // 16 * 2, -(-bits * (index + 1) // 16) * 2
    size = frame_bytes(pixels)
    return size * index, size * (index + 1)


def bit_frame(raw: Buffer, pixels: PixelFormat, index: int) -> Image:
    """Return (rows, columns) of 0 and 1 of a native frame of single bits (PS3.5 8.1.1, D.2).

    Args:
        raw: the bytes that `frame_span` names; an odd last byte may lack.
        pixels: how they are stored.
        index: 0-based frame.
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
        f"A frame of {expected} bytes has only {found} bytes of pixels.",
    )


def check_supported(pixels: PixelFormat) -> None:
    """Refuse pixel formats whose values would be misread.

    Raises:
        AssemblyError: anything but grey values and 8-bit colour in whole bytes.
    """
    if pixels.samples not in {1, 3} or (pixels.samples == 3 and pixels.bits_allocated != 8):
        raise AssemblyError(
            Reason.UNSUPPORTED_PIXELS,
            f"{pixels.samples} samples of {pixels.bits_allocated} bits a pixel are not supported.",
        )
    if pixels.bits_allocated not in {1, 8, 16, 32, 64}:
        raise AssemblyError(
            Reason.UNSUPPORTED_PIXELS, f"{pixels.bits_allocated} bits a pixel are not supported."
        )
    if not 0 < pixels.bits_stored <= pixels.high_bit + 1 <= pixels.bits_allocated:
        raise AssemblyError(
            Reason.UNSUPPORTED_PIXELS,
            f"{pixels.bits_stored} bits stored, of which the highest is bit {pixels.high_bit}, in "
            f"{pixels.bits_allocated} bits contradict each other.",
        )


def native_frame(raw: Buffer, pixels: PixelFormat, *, little: bool) -> Image:
    """Return the stored values of one uncompressed frame.

    Args:
        raw: exactly the bytes of this frame.
        pixels: how they are stored.
        little: byte order.

    Returns:
        (rows, columns), or (rows, columns, 3) for colour, in native byte order.
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

    No fragment holds more than one frame: where there are as many, or one frame only, the offset
    table has nothing to say, and is often wrong.

    Args:
        raw: the value: Basic Offset Table and all fragments.
        count: Number of Frames (0028,0008).

    Raises:
        AssemblyError: fragments that do not make so many frames.
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
            Reason.PIXELS_UNREADABLE, f"The fragments make no frames: {error}"
        ) from error
    if len(frames) < count:
        raise AssemblyError(
            Reason.PIXELS_TRUNCATED, f"Fragments for {len(frames)} of {count} frames."
        )
    return frames


def _fragments(raw: bytes) -> list[bytes]:
    buffer = BytesIO(raw)
    parse_basic_offsets(buffer)
    return list(generate_fragments(buffer))


def compressed_frame(frame: bytes, pixels: PixelFormat, transfer_syntax_uid: str) -> Image:
    """Return the stored values of one compressed frame.

    Args:
        frame: one of `split_frames`.
        pixels: how the values are stored once decompressed.
        transfer_syntax_uid: says which codec.

    Returns:
        (rows, columns), or (rows, columns, 3) RGB.
    """
    if not frame:
        raise AssemblyError(Reason.PIXELS_TRUNCATED, "A compressed frame is empty.")
    if transfer_syntax_uid in ENDED and not (
        frame.startswith(_JPEG_START) and _JPEG_END in frame[-_MOST_PADDING:]
    ):
        raise AssemblyError(Reason.PIXELS_TRUNCATED, "A JPEG stream does not come to its end.")
    stream = check_stream(frame, pixels, transfer_syntax_uid)
    if transfer_syntax_uid != RLELossless and pixels.high_bit + 1 != pixels.bits_stored:
        raise AssemblyError(
            Reason.UNSUPPORTED_PIXELS,
            f"A compressed value has no unused bits, but its {pixels.bits_stored} bits are said to "
            f"end at bit {pixels.high_bit}: High Bit (0028,0102) is wrong.",
        )
    if stream and pixels.samples == 1 and transfer_syntax_uid in _SPEAKING:
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
    """Decode grey values by the stream's own sign and bits (PS3.5 8.2.1, 8.2.4)."""
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
    """Drop what is not a bit of the value, such as overlays, and extend the sign (PS3.5 8.1.1)."""
    unused = pixels.bits_allocated - pixels.bits_stored
    if not unused or pixels.kind != "integer":
        return stored
    up = pixels.bits_allocated - 1 - pixels.high_bit
    own = stored if stored.flags.writeable else None  # nobody else has it
    shifted = np.left_shift(stored, up, out=own)
    return np.right_shift(shifted, unused, out=shifted)
