"""Stored pixel values of one frame, from native bytes (PS3.5 8.1) or from a codec."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from node.assemble.model import PixelFormat
from node.errors import AssemblyError, Reason

Image = npt.NDArray[Any]

RGB: Final = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
"""NIfTI's RGB24."""

_KEYWORDS: Final = {"float": "FloatPixelData", "double": "DoubleFloatPixelData"}
_FLOATS: Final = {"float": "<f4", "double": "<f8"}


def is_colour(pixels: PixelFormat) -> bool:
    """Tell whether a pixel is a triple of red, green and blue once decoded."""
    return pixels.samples == 3


def frame_bytes(pixels: PixelFormat) -> int:
    """Return the number of bytes of one native frame (PS3.5 8.1.1)."""
    return pixels.rows * pixels.columns * pixels.samples * pixels.bits_allocated // 8


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
    if pixels.photometric == "PALETTE COLOR":
        raise AssemblyError(Reason.UNSUPPORTED_PIXELS, "Palette colour is not supported.")
    if pixels.bits_allocated not in {8, 16, 32, 64}:
        raise AssemblyError(
            Reason.UNSUPPORTED_PIXELS, f"{pixels.bits_allocated} bits a pixel are not supported."
        )
    if not 0 < pixels.bits_stored <= pixels.high_bit + 1 <= pixels.bits_allocated:
        raise AssemblyError(
            Reason.UNSUPPORTED_PIXELS,
            f"{pixels.bits_stored} bits stored, of which the highest is bit {pixels.high_bit}, in "
            f"{pixels.bits_allocated} bits contradict each other.",
        )


def native_frame(raw: bytes, pixels: PixelFormat, *, little: bool) -> Image:
    """Return the stored values of one uncompressed frame.

    Args:
        raw: exactly the bytes of this frame.
        pixels: how they are stored.
        little: byte order.

    Returns:
        (rows, columns), or (rows, columns, 3) for colour, in native byte order.
    """
    if len(raw) < frame_bytes(pixels):
        raise AssemblyError(
            Reason.PIXELS_TRUNCATED,
            f"A frame of {frame_bytes(pixels)} bytes has only {len(raw)} bytes of pixels.",
        )
    if is_colour(pixels):
        syntax = "1.2.840.10008.1.2.1" if little else "1.2.840.10008.1.2.2"
        return _decoded(raw, pixels, syntax, None, "OW" if pixels.swapped else "OB")
    count = pixels.rows * pixels.columns
    if pixels.kind != "integer":
        floats: Image = np.frombuffer(raw, _FLOATS[pixels.kind], count)
        return floats.reshape(pixels.rows, pixels.columns)
    if pixels.swapped and pixels.bits_allocated == 8:
        raw = np.frombuffer(raw[: len(raw) // 2 * 2], ">u2").astype("<u2").tobytes()
    size = pixels.bits_allocated // 8
    sign = "i" if pixels.signed else "u"
    order = "<" if little else ">"
    stored = np.frombuffer(raw, f"{order}{sign}{size}", count).reshape(pixels.rows, pixels.columns)
    return _only_stored_bits(stored.astype(f"={sign}{size}", copy=False), pixels)


def compressed_frame(
    raw: bytes, pixels: PixelFormat, transfer_syntax_uid: str, index: int
) -> Image:
    """Return the stored values of one frame of encapsulated pixel data (PS3.5 A.4).

    Args:
        raw: the whole encapsulated value: offset table and all fragments.
        pixels: how the values are stored once decompressed.
        transfer_syntax_uid: says which codec.
        index: 0-based frame.

    Returns:
        (rows, columns), or (rows, columns, 3) RGB.
    """
    decoded = _decoded(raw, pixels, transfer_syntax_uid, index, "OB")
    return decoded if is_colour(pixels) else _only_stored_bits(decoded, pixels)


def _decoded(raw: bytes, pixels: PixelFormat, syntax: str, index: int | None, vr: str) -> Image:
    """Decode through pydicom, which knows the codecs; colour comes out as RGB."""
    options: dict[str, Any] = {
        "rows": pixels.rows,
        "columns": pixels.columns,
        "samples_per_pixel": pixels.samples,
        "number_of_frames": 1 if index is None else pixels.frames,
        "bits_allocated": pixels.bits_allocated,
        "bits_stored": pixels.bits_stored,
        "photometric_interpretation": pixels.photometric,
        "pixel_keyword": _KEYWORDS.get(pixels.kind, "PixelData"),
        "pixel_representation": int(pixels.signed),
        "planar_configuration": pixels.planar,
        "pixel_vr": vr,
    }
    try:
        array, _ = get_decoder(UID(syntax)).as_array(raw, index=index or 0, **options)
    except (ValueError, RuntimeError, NotImplementedError, AttributeError, EOFError) as error:
        raise AssemblyError(
            Reason.PIXELS_UNREADABLE, f"The pixel data cannot be decompressed: {error}"
        ) from error
    return np.asarray(array)


def _only_stored_bits(stored: Image, pixels: PixelFormat) -> Image:
    """Drop what is not a bit of the value, such as overlays, and extend the sign (PS3.5 8.1.1)."""
    unused = pixels.bits_allocated - pixels.bits_stored
    if not unused or pixels.kind != "integer":
        return stored
    up = pixels.bits_allocated - 1 - pixels.high_bit
    return np.right_shift(np.left_shift(stored, up), unused)
