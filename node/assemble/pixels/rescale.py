"""Rescale Slope and Intercept: read from the header, and checked for a whole volume (C.11.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from node.assemble.frames.model import (
    ABSENT,
    NO_INTERCEPT,
    UNREADABLE,
    UNREADABLE_PRECISE,
    InstanceHeader,
)
from node.assemble.pixels.stored_values import Image
from node.assemble.stacks.grouping import Piece
from node.core.errors import AssemblyError, Reason
from node.dicom import Elements
from node.dicom.value_decoding import BLANK

SLOPE, INTERCEPT = 0x00281053, 0x00281052
_PET: Final = "PT"
_UNCHANGED: Final = (1.0, 0.0)
"""Slope and intercept that change no value."""


class _Limits(NamedTuple):
    """Smallest normal and largest number of a type, and its relative rounding error."""

    smallest: float
    largest: float
    rounding: float


_SINGLE, _DOUBLE = (
    _Limits(float(info.tiny), float(info.max), float(info.epsneg))
    for info in (np.finfo(np.float32), np.finfo(np.float64))
)
_MODERATE: Final = 2.0**40
"""Factors up to this, and down to its inverse, keep float32 pixels within float32."""


def is_unreadable(elements: Elements, tag: int, vr: str | None = None) -> bool:
    """Tell whether an element has a value that is not one finite number (PS3.5 6.2, DS and FD).

    Args:
        elements: of the data set.
        tag: the element.
        vr: the VR of a private element that may have come without one.
    """
    raw = elements.raw(tag)
    if not raw or not raw.strip(BLANK.encode()):
        return elements.vr(tag) in {"FL", "FD"} and bool(raw) and elements.number(tag, vr) is None
    found = set(elements.numbers(tag, vr))
    return len(found) != 1


def scale_of(elements: Elements) -> str:
    """Return what is wrong with Rescale Slope and Intercept; empty if nothing is (PS3.3 C.11.1)."""
    if is_unreadable(elements, SLOPE) or is_unreadable(elements, INTERCEPT):
        return UNREADABLE
    if elements.number(SLOPE) is None:
        return ABSENT
    return NO_INTERCEPT if elements.number(INTERCEPT) is None else ""


def check_scales(pieces: Sequence[Piece]) -> None:
    """Refuse a volume in which the scale of some frames is not known.

    Args:
        pieces: the frames of one volume.

    Raises:
        AssemblyError: `Reason.UNREADABLE_SCALE`.
    """
    bad = [one for one in pieces if one.frame.scale == UNREADABLE]
    if bad:
        raise _refusal(
            bad,
            f"Rescale Slope (0028,1053) or Rescale Intercept (0028,1052) of {_of(bad, pieces)} is "
            "not a number, so that the values of the pixels are not known. Correct the attributes, "
            "or send the images again from their original source.",
        )
    bad = [one for one in pieces if one.frame.scale == UNREADABLE_PRECISE]
    if bad:
        raise _refusal(
            bad,
            f"Philips' Scale Slope (2005,xx0E) of {_of(bad, pieces)} is 0 or not a number, so that "
            "the precise values are not known. Send the images again from their original source, "
            "or convert with the scale for display (`convert.precise: n`, `--precise n`).",
        )
    bad = [one for one in pieces if _is_tabled(one.header) and _scale(one) != _UNCHANGED]
    if bad:
        raise _refusal(
            bad,
            f"{_of(bad, pieces).capitalize()} have both a Modality LUT Sequence (0028,3000) and "
            "Rescale Slope and Intercept (0028,1053), which the standard forbids (PS3.3 C.11.1): "
            "it is not known which one counts. Send the images again from their original source.",
        )
    _check_absent([one for one in pieces if not _is_tabled(one.header)])
    precise = [one for one in pieces if one.frame.display_scale is not None]
    if 0 < len(precise) < len(pieces):
        bad = [one for one in pieces if one.frame.display_scale is None]
        raise _refusal(
            bad,
            f"Philips' Scale Slope (2005,xx0E) is absent in {_of(bad, pieces)}: their values are "
            "not comparable to the rest. Send the images again from their original source, "
            "or convert with the scale for display (`convert.precise: n`, `--precise n`).",
        )
    bad = [
        one
        for one in pieces
        if not (math.isfinite(one.frame.slope) and math.isfinite(one.frame.intercept))
    ]
    if bad:
        raise _refusal(bad, _TOO_LARGE.format(_of(bad, pieces)))


_TOO_LARGE: Final = (
    "Slope and intercept of {} make values that double precision cannot represent or distinguish: "
    "they are wrong. Correct the attributes, or send the images again from their original source."
)


def _check_absent(pieces: Sequence[Piece]) -> None:
    """Refuse frames without a scale in PET (C.8.9.4), or beside frames that have one."""
    absent = [one for one in pieces if one.frame.scale == ABSENT]
    if any(one.header.modality == _PET for one in absent):
        raise _refusal(
            absent,
            f"Rescale Slope (0028,1053) is absent in {_of(absent, pieces)}, without which the "
            "activities of PET are not known. Send the images again from their original source.",
        )
    scales = {_scale(one) for one in pieces if one.frame.scale != ABSENT}
    if absent and scales - {_UNCHANGED}:
        raise _refusal(
            absent,
            f"Rescale Slope (0028,1053) is absent in {_of(absent, pieces)} and present in the "
            "rest: their values are not comparable. Send the images again from their original "
            "source.",
        )
    if len({one.frame.intercept for one in absent}) > 1:
        bad = [one for one in absent if not one.frame.intercept] or absent
        raise _refusal(
            bad,
            f"Rescale Slope (0028,1053) is absent, and Rescale Intercept (0028,1052) of "
            f"{_of(bad, pieces)} differs from that of the rest: their values are not comparable. "
            "Send the images again from their original source.",
        )
    bare = [one for one in pieces if one.frame.scale == NO_INTERCEPT]
    if bare and any(one.frame.intercept for one in pieces):
        raise _refusal(
            bare,
            f"Rescale Intercept (0028,1052) is absent in {_of(bare, pieces)} and present in the "
            "rest: their values are not comparable. Send the images again from their original "
            "source.",
        )


def check_zero(piece: Piece, stored: Image) -> None:
    """Refuse a slope of 0, unless all stored values are 0, too.

    Args:
        piece: a frame.
        stored: (rows, columns) its values before scaling.

    Raises:
        AssemblyError: different values would become one.
    """
    if piece.frame.slope == 0.0 and stored.any():
        raise _refusal(
            [piece],
            "The slope between stored and real values of an image is 0, although its stored values "
            "are not, so that the real values are not known. Correct Rescale Slope (0028,1053), "
            "Dose Grid Scaling "
            "(3004,000E) or Real World Value Slope (0040,9225), or send the image again from its "
            "original source.",
        )


def fits_header(slope: float, intercept: float, low: int, high: int) -> bool:
    """Tell whether float32 scl_slope and scl_inter of NIfTI-1 are exact to half a step.

    Args:
        slope, intercept: value = slope·stored + intercept.
        low, high: limits of the stored values.
    """
    if not _SINGLE.smallest <= abs(slope) <= _SINGLE.largest or abs(intercept) > _SINGLE.largest:
        return False
    if max(_ends(slope, intercept, low, high)) > _SINGLE.largest:
        return False
    of_slope = float(np.float32(slope)) - slope
    of_intercept = float(np.float32(intercept)) - intercept
    return max(abs(of_slope * end + of_intercept) for end in (low, high)) <= abs(slope) / 2


def fits(
    slope: float, intercept: float, low: int, high: int, kind: type[np.float32 | np.float64]
) -> bool:
    """Tell whether a floating-point type holds scaled values exactly to half a step.

    Args:
        slope, intercept: value = slope·stored + intercept; a slope of 0 has no steps.
        low, high: limits of the stored values.
        kind: the type.
    """
    limits = _SINGLE if kind is np.float32 else _DOUBLE
    largest = max(_ends(slope, intercept, low, high))
    if not largest <= limits.largest:
        return False
    if slope == 0.0:
        return True
    tiny = abs(slope) < limits.smallest
    return not tiny and largest * limits.rounding <= abs(slope) / 2


def is_moderate(slope: float, intercept: float) -> bool:
    """Tell whether scaled float32 pixels stay within float32.

    Args:
        slope, intercept: value = slope·stored + intercept.
    """
    return 1 / _MODERATE <= abs(slope) <= _MODERATE and abs(intercept) <= _MODERATE


def too_large(pieces: Sequence[Piece]) -> AssemblyError:
    """Return the refusal of scaled values that double precision cannot hold."""
    return _refusal(pieces, _TOO_LARGE.format(_of(pieces, pieces)))


def _ends(slope: float, intercept: float, low: int, high: int) -> list[float]:
    """Return the magnitudes of intermediate and final values."""
    return [abs(part) for end in (low, high) for part in (slope * end, slope * end + intercept)]


def _scale(piece: Piece) -> tuple[float, float]:
    return piece.frame.slope, piece.frame.intercept


def _is_tabled(header: InstanceHeader) -> bool:
    return header.pixels is not None and header.pixels.tabled


def _of(some: Sequence[Piece], pieces: Sequence[Piece]) -> str:
    if len(some) == len(pieces):
        return f"all {len(pieces)} images" if len(pieces) > 1 else "the image"
    return f"{len(some)} of {len(pieces)} images"


def _refusal(pieces: Sequence[Piece], sentence: str) -> AssemblyError:
    uids = tuple(dict.fromkeys(one.uid for one in pieces))
    return AssemblyError(Reason.UNREADABLE_SCALE, sentence, uids)
