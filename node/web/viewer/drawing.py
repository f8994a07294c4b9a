"""Slices as pictures and as values, held as a radiologist does.

The patient's right is on the left side, front or head is up, the nose points to the left: both axes
of a slice run to the left and up.
"""

from __future__ import annotations

import io
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from node.web.viewer.messages import Geometry

_PIXELS_AT_ONCE: Final = 1 << 20
_WIDER: Final = {"int64": "float64", "uint64": "float64", "float16": "float32"}
"""Types that JavaScript has no array of numbers for, or numpy more than eight bytes."""


def values_type(geometry: Geometry) -> str:
    """The type in which the values of a slice are sent: of a typed array, or `rgb`."""
    if geometry.is_colour:
        return "rgb"
    if geometry.stored.startswith("float") and geometry.stored not in {"float16", "float32"}:
        return "float64"
    return _WIDER.get(geometry.stored, geometry.stored)


def values(geometry: Geometry, plane: NDArray[Any]) -> bytes:
    """The stored values of a slice, row by row from the top, each row from the left.

    Args:
        geometry: of the volume.
        plane: (across, up) stored values.
    """
    held = _held(plane)
    if geometry.is_colour:
        return np.stack([held[name] for name in "RGB"], axis=-1).tobytes()
    return held.astype(np.dtype(values_type(geometry)).newbyteorder("<")).tobytes()


def png(geometry: Geometry, plane: NDArray[Any], low: float, high: float) -> bytes:
    """A slice as PNG, one pixel a voxel.

    Args:
        geometry: of the volume.
        plane: (across, up) stored values.
        low, high: values that are drawn black and white.
    """
    held = _held(plane)
    if geometry.is_colour:
        drawn = np.stack([held[name] for name in "RGB"], axis=-1)
    else:
        drawn = np.empty(held.shape, np.uint8)
        rows = max(1, _PIXELS_AT_ONCE // held.shape[1])
        for first in range(0, held.shape[0], rows):
            part = np.asarray(held[first : first + rows], dtype=np.float64)
            grey = (part * geometry.slope + geometry.intercept - low) / (high - low)
            drawn[first : first + rows] = np.nan_to_num(grey * 255.0).clip(0, 255)
    made = io.BytesIO()
    Image.fromarray(drawn).save(made, "PNG", compress_level=1)
    return made.getvalue()


def _held(plane: NDArray[Any]) -> NDArray[Any]:
    return plane[::-1, ::-1].T
