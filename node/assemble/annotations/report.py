"""Regions and points of a structured report: TID 1500 and what is built like it (PS3.16)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from node.assemble.annotations.presence import CONTENT
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

MEASUREMENT_GROUP: Final = "125007"
TRACKING_IDENTIFIER: Final = "112039"
FINDING: Final = "121071"
MOST_DEPTH: Final = 64
_KINDS: Final = {
    "POINT": Kind.POINTS,
    "MULTIPOINT": Kind.POINTS,
    "POLYLINE": Kind.LINE,
    "POLYGON": Kind.POLYGON,
    "CIRCLE": Kind.CIRCLE,
    "ELLIPSE": Kind.ELLIPSE,
    "ELLIPSOID": Kind.ELLIPSOID,
}
"""Graphic Type (0070,0023) of SCOORD (C.18.6.1.1) and SCOORD3D (C.18.9.1.2)."""


class _Group(NamedTuple):
    """What shapes belong to: a Measurement Group, or a shape that is in none."""

    number: int
    name: str


def report_shapes(elements: Elements) -> list[Shape]:
    """Read every SCOORD and SCOORD3D of a report.

    Those of one Measurement Group (TID 1410, 1411, 1501) share a number and a name: its Tracking
    Identifier or else its Finding. A closed polyline is a region.

    Args:
        elements: the report's data set.

    Raises:
        AssemblyError: `annotation-unreadable`, or coordinates on no image.
    """
    return checked(list(_Reader(elements).shapes()))


class _Reader:
    def __init__(self, root: Elements) -> None:
        self._root = root
        self._groups = 0

    def shapes(self) -> Iterator[Shape]:
        for count, shape in enumerate(self._below(self._root, None, 0)):
            yield shape
            if count > MOST_SHAPES:
                return  # `checked` refuses it

    def _below(self, item: Elements, group: _Group | None, depth: int) -> Iterator[Shape]:
        if depth > MOST_DEPTH:
            raise _unreadable(f"its content is more than {MOST_DEPTH} levels deep")
        for child in item.items(CONTENT):
            inner = group
            if _concept(child)[0] == MEASUREMENT_GROUP:
                inner = self._next(_name_of(child))
            kind = child.text(0x0040A040)
            if kind in {"SCOORD", "SCOORD3D"}:
                owner = inner or self._next(_concept(child)[1])
                yield self._shape(child, owner, flat=kind == "SCOORD")
            yield from self._below(child, inner, depth + 1)

    def _next(self, name: str) -> _Group:
        self._groups += 1
        return _Group(self._groups, name or f"Region {self._groups}")

    def _shape(self, item: Elements, group: _Group, *, flat: bool) -> Shape:
        said = item.text(0x00700023) or ""
        kind = _KINDS.get(said)
        if kind is None:
            raise _unreadable(f"{said!r} is no type of graphic that is known")
        points = _points(item.numbers(0x00700022), 2 if flat else 3)
        if kind is Kind.LINE and closed(points):
            kind = Kind.POLYGON
        if not flat:
            frame = item.uid(0x30060024) or ""
            return Shape(group.number, group.name, kind, points, None, frame)
        if (item.text(0x00480301) or "FRAME") != "FRAME":
            raise _unreadable("its coordinates count in a total pixel matrix, not in a frame")
        return Shape(group.number, group.name, kind, points - CORNER_PIXELS, self._image(item))

    def _image(self, item: Elements) -> ImageReference:
        """Return the image that coordinates are selected from, directly or by reference."""
        for child in item.items(CONTENT):
            path = child.numbers(0x0040DB73)
            target = self._at([int(step) for step in path]) if path else child
            if target is not None:
                for reference in target.items(0x00081199):
                    frame = reference.integer(0x00081160) or 0
                    return ImageReference(reference.uid(0x00081155) or "", frame)
        raise AssemblyError(Reason.MISSING_REFERENCE, "Coordinates of a report name no image.")

    def _at(self, path: list[int]) -> Elements | None:
        """Return a content item by its place in the tree, from 1 at each level (C.17.3.2.5)."""
        found = self._root
        for step in path[1:]:
            items = found.items(CONTENT)
            if not 0 < step <= len(items):
                return None
            found = items[step - 1]
        return found


def _points(values: tuple[float, ...], dimensions: int) -> Points:
    if not values or len(values) % dimensions:
        raise _unreadable(f"{len(values)} numbers are no points in {dimensions} dimensions")
    return np.reshape(values, (-1, dimensions))


def _name_of(group: Elements) -> str:
    """Return what a Measurement Group is called: its Tracking Identifier, else its Finding."""
    named = {_concept(child)[0]: child for child in group.items(CONTENT)}
    tracked, finding = named.get(TRACKING_IDENTIFIER), named.get(FINDING)
    name = tracked.text(0x0040A160) if tracked is not None else None
    if not name and finding is not None:
        code = finding.item(0x0040A168)
        name = code.text(0x00080104) if code is not None else None
    return name or ""


def _concept(item: Elements) -> tuple[str, str]:
    """Return the code and the meaning of an item's Concept Name."""
    code = item.item(0x0040A043)
    if code is None:
        return "", ""
    return code.text(0x00080100) or "", code.text(0x00080104) or ""


def _unreadable(why: str) -> AssemblyError:
    return AssemblyError(Reason.ANNOTATION_UNREADABLE, f"The report cannot be read: {why}.")
