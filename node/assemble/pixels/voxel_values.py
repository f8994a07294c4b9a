"""From stored values to voxel values: the exact voxel type, and the scale (PS3.3 C.11.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np

from node.assemble.frames.model import UNREADABLE_PRECISE, FrameHeader, InstanceHeader
from node.assemble.pixels.rescale import check_scales, fits, fits_header, is_moderate, too_large
from node.assemble.pixels.stored_values import RGB, Image, check_supported, is_colour
from node.assemble.stacks.slice_sorting import Piece

_INTEGERS: Final = tuple(np.dtype(code) for code in ("u1", "i2", "u2", "i4", "u4", "i8", "u8"))
_TABLE_HIGHEST: Final = (1 << 16) - 1
"""Entries of a Modality LUT have at most 16 bits and no sign (PS3.3 C.11.1.1.1)."""
_MANTISSA_BITS: Final = 24
"""float32 holds integers of this many bits exactly."""


class Values(NamedTuple):
    """How the voxels of one volume are made of stored values.

    Attributes:
        dtype: type of the array while it is filled.
        scaled: slope and intercept of each frame are applied while the array is filled.
        slope, intercept: of the whole volume; applied at the end if that is exact, else written
            to the NIfTI header.
    """

    dtype: np.dtype[np.generic]
    scaled: bool
    slope: float = 1.0
    intercept: float = 0.0


def choose(pieces: Sequence[Piece]) -> Values:
    """Choose the voxel type for all frames of a volume: integer wherever that is exact.

    Raises:
        AssemblyError: the pixel format is not supported, or the scale is not known.
    """
    formats = {piece.header.pixels for piece in pieces}
    scales = {(piece.frame.slope, piece.frame.intercept) for piece in pieces}
    lows: list[int] = []
    highs: list[int] = []
    floats: set[str] = set()
    for pixels in formats:
        assert pixels is not None  # noqa: S101 - an image, or it would have no frames
        check_supported(pixels)
        if is_colour(pixels):
            return Values(RGB, scaled=False)
        floats.add(pixels.kind)
        if pixels.tabled:
            lows, highs = [*lows, 0], [*highs, _TABLE_HIGHEST]
            continue
        low, high = _stored_range(pixels.bits_stored, signed=pixels.signed)
        lows.append(low)
        highs.append(high)
    check_scales(pieces)
    if floats != {"integer"}:
        plain = all(scale == (1.0, 0.0) or is_moderate(*scale) for scale in scales)
        return Values(np.dtype("f4" if plain and "double" not in floats else "f8"), scaled=True)
    low, high = min(lows), max(highs)
    if len(scales) == 1 and fits_header(*next(iter(scales)), low, high):
        slope, intercept = next(iter(scales))
        if slope == 1.0 and intercept.is_integer():
            shifted = _holding(low + int(intercept), high + int(intercept))
            if shifted is not None and shifted.itemsize <= _holding_or_wide(low, high).itemsize:
                return Values(shifted, scaled=True)
        return Values(_holding_or_wide(low, high), scaled=False, slope=slope, intercept=intercept)
    if all(slope.is_integer() and intercept.is_integer() for slope, intercept in scales):
        ends = [int(s) * end + int(b) for s, b in scales for end in (low, high)]
        whole = _holding(min(ends), max(ends))
        if whole is not None and whole.itemsize <= 4:
            return Values(whole, scaled=True)
    if not all(fits(*scale, low, high, np.float64) for scale in scales):
        raise too_large(pieces)
    exact = high - low < 1 << _MANTISSA_BITS and all(
        fits(*scale, low, high, np.float32) for scale in scales
    )
    return Values(np.dtype("f4" if exact and len(scales) > 1 else "f8"), scaled=True)


def is_final(values: Values) -> bool:
    """Tell whether an array is written as it is filled, so that `finish` changes nothing."""
    dtype, slope, intercept = values.dtype, values.slope, values.intercept
    if dtype.kind not in "iu" or dtype.itemsize == 1:
        return True
    if slope != 1.0 or not intercept.is_integer():
        return True
    return dtype.kind == "i" and not intercept


def decided(values: Values, low: int, high: int) -> Values:
    """Decide how values are written, once the smallest and the largest one are known.

    An integer intercept is applied where the result fits. Unsigned values that fit into the signed
    type of the same size become signed, which more software reads.

    Args:
        values: from `choose`.
        low, high: the smallest and the largest value of the filled array.
    """
    if is_final(values):
        return values
    signed = np.dtype(f"i{values.dtype.itemsize}")
    limits = np.iinfo(signed)
    intercept = int(values.intercept)
    if low + intercept < limits.min or high + intercept > limits.max:
        return values
    return Values(signed, scaled=values.scaled or bool(intercept))


def finish(array: Image, values: Values) -> tuple[Image, float, float]:
    """Turn a filled array into the form in which it is written, in place; see `decided`.

    Args:
        array: (i, j, k, t) in RAS order, from `fill`; it is changed.
        values: from `choose`.

    Returns:
        the array, and slope and intercept for the NIfTI header.
    """
    if is_final(values):
        return array, values.slope, values.intercept
    final = decided(values, int(array.min()), int(array.max()))
    shifted = array.view(final.dtype)
    if final is not values and values.intercept:
        # unsigned values beyond the signed range wrap around, and the shift wraps them back
        shifted += wrapped(int(values.intercept), final.dtype)
    return shifted, final.slope, final.intercept


def wrapped(number: int, dtype: np.dtype[np.generic]) -> Image:
    """Return an integer modulo the range of a type.

    Args:
        number: the integer.
        dtype: an integer type.

    Returns:
        () of that type.
    """
    bits = 8 * dtype.itemsize
    return np.array(number & ((1 << bits) - 1), f"u{dtype.itemsize}").astype(dtype)


def as_displayed(header: InstanceHeader) -> InstanceHeader:
    """Return a header whose frames have the scale for display instead of Philips' precise scale."""
    frames = tuple(
        frame if frame.display_scale is None else _displayed(frame, *frame.display_scale)
        for frame in header.frames
    )
    return msgspec.structs.replace(header, frames=frames)


def _displayed(frame: FrameHeader, slope: float, intercept: float) -> FrameHeader:
    scale = "" if frame.scale == UNREADABLE_PRECISE else frame.scale
    return msgspec.structs.replace(
        frame, slope=slope, intercept=intercept, scale=scale, display_scale=None
    )


def _stored_range(bits: int, *, signed: bool) -> tuple[int, int]:
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)


def _holding(low: int, high: int) -> np.dtype[np.generic] | None:
    for dtype in _INTEGERS:
        limits = np.iinfo(dtype)
        if limits.min <= low and high <= limits.max:
            return dtype
    return None


def _holding_or_wide(low: int, high: int) -> np.dtype[np.generic]:
    return _holding(low, high) or np.dtype("f8")
