"""Graphics of a Softcopy Presentation State on the images that it is for (PS3.3 C.10.5)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from node.assemble.annotations.presence import GRAPHIC_ANNOTATIONS
from node.assemble.annotations.shapes import (
    CORNER_PIXELS,
    MOST_SHAPES,
    ImageReference,
    Kind,
    Shape,
    checked,
    closed,
)
from node.assemble.volumes.labels import Points
from node.core.errors import AssemblyError, Reason
from node.dicom import Elements

_GRAPHICS: Final = 0x00700009
_TEXTS: Final = 0x00700008
_IMAGES: Final = 0x00081140
_SERIES: Final = 0x00081115
_KINDS: Final = {
    "POINT": Kind.POINTS,
    "POLYLINE": Kind.LINE,
    "INTERPOLATED": Kind.LINE,
    "CIRCLE": Kind.CIRCLE,
    "ELLIPSE": Kind.ELLIPSE,
}
PIXEL: Final = "PIXEL"


class Graphics(NamedTuple):
    """What is drawn.

    Attributes:
        shapes: on images.
        left_out: why others are not among them.
    """

    shapes: list[Shape]
    left_out: tuple[str, ...]


def presentation_graphics(elements: Elements) -> Graphics:
    """Read the graphics, and the places that texts point at; what texts say is not read.

    Each has a number of its own and the name of its graphic layer. A closed polyline is a region;
    of an interpolated line it is not defined where it runs between its points, so that it is a
    line. What is drawn relative to the display has no place on an image, and is left out.

    Args:
        elements: the presentation state's data set.

    Raises:
        AssemblyError: `annotation-unreadable`.
    """
    shapes: list[Shape] = []
    displayed = 0
    number = 0
    everything = [image for series in elements.items(_SERIES) for image in series.items(_IMAGES)]
    for annotation in elements.items(GRAPHIC_ANNOTATIONS):
        images = list(_images(annotation.items(_IMAGES) or everything))
        layer = annotation.text(0x00700002) or ""
        for drawn in (*annotation.items(_GRAPHICS), *annotation.items(_TEXTS)):
            found = _drawn(drawn)
            if found is None:
                displayed += 1
                continue
            number += 1
            kind, points = found
            name = f"{layer} {number}".strip()
            shapes += [Shape(number, name, kind, points, image) for image in images]
            if len(shapes) > MOST_SHAPES:
                return Graphics(checked(shapes), ())
    left = (f"{displayed} graphics have no place on an image",) if displayed else ()
    return Graphics(checked(shapes), left)


def _drawn(item: Elements) -> tuple[Kind, Points] | None:
    """Return a graphic, or the anchor point of a text; None if it is relative to the display."""
    if (anchor := item.numbers(0x00700014)) and item.text(0x00700004) == PIXEL:
        return Kind.POINTS, _points(anchor)
    if item.text(0x00700005) != PIXEL:
        return None
    said = item.text(0x00700023) or ""
    kind = _KINDS.get(said)
    if kind is None:
        raise _unreadable(f"{said!r} is no type of graphic that is known")
    points = _points(item.numbers(0x00700022))
    if said == "POLYLINE" and closed(points):
        kind = Kind.POLYGON
    return kind, points


def _points(values: tuple[float, ...]) -> Points:
    if not values or len(values) % 2:
        raise _unreadable(f"{len(values)} numbers are no columns and rows")
    return np.reshape(values, (-1, 2)) - CORNER_PIXELS


def _images(items: tuple[Elements, ...] | list[Elements]) -> Iterator[ImageReference]:
    for item in items:
        uid = item.uid(0x00081155) or ""
        for frame in item.numbers(0x00081160) or (0,):
            yield ImageReference(uid, int(frame))


def _unreadable(why: str) -> AssemblyError:
    return AssemblyError(
        Reason.ANNOTATION_UNREADABLE, f"The presentation state cannot be read: {why}."
    )
