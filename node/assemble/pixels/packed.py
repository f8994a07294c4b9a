"""Compressed frames that need no codec: single deflated frames, and bits in runs."""

from __future__ import annotations

import zlib
from typing import Final

from node.assemble.frames.model import PixelFormat
from node.assemble.pixels.stored_values import Image, bit_frame, frame_bytes, native_frame
from node.core.errors import AssemblyError, Reason

DEFLATED_FRAMES: Final = "1.2.840.10008.1.2.8.1"
"""Deflated Image Frame Compression (PS3.5 A.4.13)."""
_RUNS: Final = "1.2.840.10008.1.2.5"
_HEADER_BYTES: Final = 64
_NOTHING: Final = 128


def is_packed(pixels: PixelFormat, transfer_syntax_uid: str) -> bool:
    """Tell whether frames are deflated, or single bits in RLE, so that `packed_frame` reads them.

    Args:
        pixels: the format of the unpacked values.
        transfer_syntax_uid: of the data set.
    """
    bits_in_runs = transfer_syntax_uid == _RUNS and pixels.bits_allocated == 1
    return bits_in_runs or transfer_syntax_uid == DEFLATED_FRAMES


def packed_frame(frame: bytes, pixels: PixelFormat, transfer_syntax_uid: str) -> Image:
    """Return the stored values of one frame.

    Args:
        frame: from `node.assemble.pixels.stored_values.split_frames`.
        pixels: the format of the unpacked values.
        transfer_syntax_uid: of the data set.

    Returns:
        (rows, columns), or (rows, columns, 3) for colour.

    Raises:
        AssemblyError: the frame is damaged or truncated.
    """
    bits = pixels.bits_allocated == 1
    size = -(-pixels.rows * pixels.columns // 8) if bits else frame_bytes(pixels)
    unpack = _inflated if transfer_syntax_uid == DEFLATED_FRAMES else _unpacked
    raw = unpack(frame, size)
    return bit_frame(raw, pixels, 0) if bits else native_frame(raw, pixels, little=True)


def _inflated(frame: bytes, size: int) -> bytes:
    """Inflate at most the bytes of a frame (RFC 1951, without a header)."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(frame, size)
    except zlib.error as error:
        raise AssemblyError(
            Reason.PIXELS_UNREADABLE,
            f"A deflated frame cannot be inflated ({error}). Send the instance again from its "
            "original source.",
        ) from error


def _unpacked(frame: bytes, size: int) -> bytes:
    """Unpack the one segment of a frame of single bits (PS3.5 Annex G)."""
    if len(frame) < _HEADER_BYTES or int.from_bytes(frame[:4], "little") != 1:
        raise AssemblyError(
            Reason.PIXELS_UNREADABLE,
            "A frame of single bits in RLE must have one segment, and this frame has not. Send the "
            "instance again from its original source.",
        )
    at = int.from_bytes(frame[4:8], "little")
    unpacked = bytearray()
    while len(unpacked) < size and at + 1 < len(frame):
        control = frame[at]
        if control < _NOTHING:
            unpacked += frame[at + 1 : at + 2 + control]
            at += 2 + control
        elif control > _NOTHING:
            unpacked += frame[at + 1 : at + 2] * (257 - control)
            at += 2
        else:
            at += 1
    return bytes(unpacked[:size])
