"""Points and open lines of an RT Structure Set (PS3.3 C.8.8.6); its regions are `contours`."""

from __future__ import annotations

from typing import Final

import numpy as np

from node.assemble.annotations.shapes import Kind, Shape
from node.core.errors import AssemblyError, Reason
from node.dicom import Elements

_KINDS: Final = {"POINT": Kind.POINTS, "OPEN_PLANAR": Kind.LINE, "OPEN_NONPLANAR": Kind.LINE}


def structure_points(elements: Elements) -> list[Shape]:
    """Read the points and open lines of a structure set; each has the number of its ROI.

    Args:
        elements: the RT Structure Set's data set.

    Raises:
        AssemblyError: `annotation-unreadable`: its numbers are no points.
    """
    names: dict[int | None, str] = {}
    frames: dict[int | None, str] = {}
    for item in elements.items(0x30060020):
        number = item.integer(0x30060022)
        names[number] = item.text(0x30060026) or ""
        frames[number] = item.uid(0x30060024) or ""
    shapes: list[Shape] = []
    for region in elements.items(0x30060039):
        number = region.integer(0x30060084) or 0
        for contour in region.items(0x30060040):
            kind = _KINDS.get(contour.text(0x30060042) or "")
            if kind is None:
                continue
            values = contour.numbers(0x30060050)
            name = names.get(number) or f"ROI {number}"
            if not values or len(values) % 3:
                raise AssemblyError(
                    Reason.ANNOTATION_UNREADABLE,
                    f"{len(values)} numbers of {name!r} are no points in space.",
                )
            points = np.reshape(values, (-1, 3))
            frame = frames.get(number, "")
            shapes.append(Shape(number, name, kind, points, None, frame))
    return shapes


def has_regions(elements: Elements) -> bool:
    """Tell whether a structure set has a closed contour."""
    return any(
        contour.text(0x30060042) not in _KINDS
        for region in elements.items(0x30060039)
        for contour in region.items(0x30060040)
    )
