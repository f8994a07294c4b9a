"""A slice as a picture: grey, with labels in colour, letters of the patient's sides and a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_erosion

from node.assemble.space import Array

Colour = tuple[int, int, int]
Picture = npt.NDArray[np.uint8]

WANTED: Final = 512
"""Pixels: smaller slices are magnified up to this, so that letters can be read."""
MOST_TIMES: Final = 8
FILL: Final = 0.25
"""The part of the colour within an outline."""
OBLIQUE: Final = 0.25
"""A direction's component from which on its letter is written, after the largest one's."""
_BIPED: Final = (("R", "L"), ("A", "P"), ("F", "H"))
_QUADRUPED: Final = (("RT", "LE"), ("V", "D"), ("CD", "CR"))
"""Letters of the negative and positive ends of LPS axes (PS3.3 C.7.6.1.1.1)."""


def magnified(rows: int, columns: int) -> int:
    """Return how many times a slice of this size is magnified."""
    return max(1, min(MOST_TIMES, WANTED // max(rows, columns)))


def sides(direction: Array, *, quadruped: bool = False) -> str:
    """Return the value of Patient Orientation for a direction (PS3.3 C.7.6.1.1.1).

    Args:
        direction: (3,) unit vector, LPS.
        quadruped: letters of animals on four legs.
    """
    letters = _QUADRUPED if quadruped else _BIPED
    order = np.argsort(-np.abs(direction), kind="stable")
    named = [axis for axis in order if abs(direction[axis]) >= OBLIQUE or axis == order[0]]
    return "".join(letters[axis][int(direction[axis] > 0)] for axis in named)


def picture(grey: npt.NDArray[np.uint8], labels: Array, colours: Mapping[int, Colour]) -> Picture:
    """Draw labels over a slice: a light fill and an outline within the label's edge.

    Args:
        grey: (rows, columns).
        labels: (rows, columns) numbers; 0 is no label.
        colours: of each number.

    Returns:
        (rows, columns, 3), magnified.
    """
    times = magnified(*grey.shape)
    result = np.repeat(_large(grey, times)[..., np.newaxis], 3, axis=2).astype(np.float32)
    for number, colour in colours.items():
        inside = labels == number
        if not inside.any():
            continue
        mask = _large(inside, times)
        edge = mask & ~binary_erosion(mask, iterations=max(1, times // 2))
        result[mask] = result[mask] * (1 - FILL) + np.array(colour) * FILL
        result[edge] = colour
    return np.asarray(np.rint(result), np.uint8)


def write_on(image: Picture, ends: tuple[str, str, str, str], line: str) -> Picture:
    """Write the letters of the patient's sides at the borders, and a line at the bottom.

    Args:
        image: (rows, columns, 3).
        ends: letters at the left, right, top and bottom.
        line: what made it.

    Returns:
        (rows, columns, 3).
    """
    drawn = Image.fromarray(image)
    pen = ImageDraw.Draw(drawn)
    height, width = image.shape[:2]
    font = ImageFont.load_default(size=max(10, min(height, width) // 28))
    left, right, top, bottom = ends
    for text, place, anchor in (
        (left, (4, height // 2), "lm"),
        (right, (width - 4, height // 2), "rm"),
        (top, (width // 2, 4), "ma"),
        (bottom, (width // 2, height - 4), "md"),
    ):
        pen.text(place, text, (255, 255, 255), font, anchor, stroke_width=1, stroke_fill=(0, 0, 0))
    small = ImageFont.load_default(size=max(9, min(height, width) // 40))
    pen.text((4, 4), line, (255, 255, 255), small, "la", stroke_width=1, stroke_fill=(0, 0, 0))
    return np.asarray(drawn)


def _large(image: Array, times: int) -> Array:
    return np.repeat(np.repeat(image, times, axis=0), times, axis=1)
