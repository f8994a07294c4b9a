"""The frame of a classic image: the standard attributes at the top level of the data set."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from node.assemble.frames.acquisition import read_settings
from node.assemble.frames.model import (
    FIELD_MAP,
    IMAGINARY,
    MAGNITUDE,
    PHASE,
    REAL,
    FrameHeader,
    Orientation,
    PixelFormat,
    Vector,
)
from node.assemble.pixels.rescale import INTERCEPT, SLOPE, scale_of
from node.assemble.sidecar.spin_labeling import labeling
from node.assemble.sidecar.standard_fields import acquired, moment
from node.dicom import Elements, read_parts

_KINDS: Final = {
    "M": MAGNITUDE,
    "MAGNITUDE": MAGNITUDE,
    "P": PHASE,
    "PHASE": PHASE,
    "R": REAL,
    "REAL": REAL,
    "I": IMAGINARY,
    "IMAGINARY": IMAGINARY,
    "B0 MAP": FIELD_MAP,
    "FIELD_MAP": FIELD_MAP,
}

_ZERO_LENGTH: Final = 1e-6
"""Length of a vector that is zero but for rounding."""


def classic_frame(elements: Elements, pixels: PixelFormat) -> FrameHeader:
    """Read the standard attributes of a frame (PS3.3 C.7.6.1, C.7.6.2, C.8.3.1, C.11.1).

    Args:
        elements: a classic instance, or an enhanced one with a frame's groups laid over it.
        pixels: its pixel format.
    """
    parts = read_parts(elements, _PARTS)
    return FrameHeader(index=0, rows=pixels.rows, columns=pixels.columns, **parts)


def kind_of(image_type: tuple[str, ...]) -> str:
    """Return magnitude, phase and so on by Image Type (PS3.3 C.8.3.1.1.1, C.8.13.3.1.1)."""
    for part in image_type[2:]:
        if part in _KINDS:
            return _KINDS[part]
    return ""


def unit_vector(values: tuple[float, ...]) -> Vector | None:
    """Return a direction of length 1; None for a zero vector or other than three components."""
    vector = _vector(values)
    if vector is None:
        return None
    length = math.hypot(*vector)
    return (
        (vector[0] / length, vector[1] / length, vector[2] / length)
        if length > _ZERO_LENGTH
        else None
    )


def _window(elements: Elements) -> tuple[float, float] | None:
    """Return the first Window Center and Window Width (PS3.3 C.11.2)."""
    center, width = elements.number(0x00281050), elements.number(0x00281051)
    return None if center is None or width is None or width < 1 else (center, width)


def _vector(values: tuple[float, ...]) -> Vector | None:
    return (values[0], values[1], values[2]) if len(values) == 3 else None


def _pair(values: tuple[float, ...]) -> tuple[float, float] | None:
    return (values[0], values[1]) if len(values) == 2 else None


def _orientation(values: tuple[float, ...]) -> Orientation | None:
    if len(values) != 6:
        return None
    return (values[0], values[1], values[2], values[3], values[4], values[5])


def _image_type(elements: Elements) -> tuple[str, ...]:
    return tuple(part.upper() for part in elements.texts(0x00080008))


def _content_time(elements: Elements) -> int | None:
    day = elements.text(0x00080023) or elements.text(0x00080022) or elements.text(0x00080021)
    return moment(day, elements.text(0x00080033))


def _slope(elements: Elements) -> float:
    slope = elements.number(SLOPE)
    return 1.0 if slope is None else slope


_PARTS: Final[tuple[tuple[str, Callable[[Elements], Any]], ...]] = (
    ("position", lambda elements: _vector(elements.numbers(0x00200032))),
    ("orientation", lambda elements: _orientation(elements.numbers(0x00200037))),
    ("spacing", lambda elements: _pair(elements.numbers(0x00280030))),
    ("thickness", lambda elements: elements.number(0x00180050)),
    ("between", lambda elements: elements.number(0x00180088)),
    ("number", lambda elements: elements.integer(0x00200013)),
    ("temporal", lambda elements: elements.integer(0x00200100)),
    ("echo", lambda elements: elements.integer(0x00180086)),
    ("echo_time", lambda elements: elements.number(0x00180081)),
    ("kind", lambda elements: kind_of(_image_type(elements))),
    ("image_type", _image_type),
    ("acquisition", lambda elements: elements.integer(0x00200012)),
    ("acquisition_time", acquired),
    ("content_time", _content_time),
    ("trigger_time", lambda elements: elements.number(0x00181060)),
    ("reference_time", lambda elements: elements.number(0x00541300)),
    ("slope", _slope),
    ("intercept", lambda elements: elements.number(INTERCEPT) or 0.0),
    ("scale", scale_of),
    ("b_value", lambda elements: elements.number(0x00189087)),
    ("gradient", lambda elements: unit_vector(elements.numbers(0x00189089))),
    ("location", lambda elements: elements.number(0x00201041)),
    ("window", _window),
    ("settings", read_settings),
    ("cardiac_percentage", lambda elements: elements.number(0x00209241)),
    ("facts", labeling),
)
