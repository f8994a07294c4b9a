"""Sorts the frames of a series into stacks of slices, and describes spacing and numbering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import gcd
from typing import NamedTuple

from node.completion.facts import FrameFacts, InstanceFacts, Vector

SAME_DIRECTION = 5e-3
"""Largest difference of a direction cosine within a stack (0.3°): above what rounding to three
decimals does, below what a localizer's planes differ by."""

SAME_PLACE_MM = 0.01
"""Images nearer than this along the normal are at one place; no scanner steps that finely."""

SAME_ECHO_MS = 0.05
"""Echo times nearer than this are one echo, written with other decimals."""

FARTHEST_MM = 1e6
"""Coordinates beyond a kilometre, infinite ones and NaN are not positions."""

FEWEST_STEPS = 4
"""Numbers such as 2, 4, 6 have a stride and no gaps only if that many steps agree."""

EVEN = 0.1
"""A step counts as k regular steps within this fraction of one: rounded positions are within it,
an uneven series (5, 5, 7.5 mm) is not."""


@dataclass(frozen=True, slots=True)
class Image:
    """A frame at its place in a stack.

    Attributes:
        instance: the instance that the frame belongs to.
        frame: its geometry.
        distance: of the frame's plane from the origin along the stack's normal, mm.
    """

    instance: InstanceFacts
    frame: FrameFacts
    distance: float


@dataclass(frozen=True, slots=True)
class Stack:
    """Frames of one size, orientation and kind.

    Attributes:
        places: the distinct places, ascending along the normal; for each its images.
    """

    places: tuple[tuple[Image, ...], ...]

    @property
    def images(self) -> int:
        """How many images the stack has."""
        return sum(len(place) for place in self.places)

    def distance(self, place: int) -> float:
        """The distance of a place from the origin along the normal, mm."""
        return self.places[place][0].distance

    def position(self, place: int) -> Vector:
        """ImagePositionPatient of a place's first image, LPS mm."""
        position = self.places[place][0].frame.position
        assert position is not None  # noqa: S101  only frames that have one are laid out
        return position


@dataclass(frozen=True, slots=True)
class Spacing:
    """How the places of a stack follow each other.

    Attributes:
        step: the regular distance, mm.
        gaps: (place before the gap, number of missing places).
        uneven: whether a step is not a multiple of the regular one; then there are no gaps.
    """

    step: float
    gaps: tuple[tuple[int, int], ...]
    uneven: bool

    @property
    def missing(self) -> int:
        """How many places are missing."""
        return sum(count for _, count in self.gaps)


@dataclass(frozen=True, slots=True)
class Numbering:
    """The InstanceNumbers of a series.

    Attributes:
        usable: every instance has a number, and no two have the same.
        first, last: the lowest and the highest.
        stride: the step from one number to the next.
        gaps: (first missing, last missing) runs, in steps of `stride`.
        missing: how many numbers the gaps have.
    """

    usable: bool
    first: int = 0
    last: int = 0
    stride: int = 1
    gaps: tuple[tuple[int, int], ...] = ()
    missing: int = 0


class _Group(NamedTuple):
    key: tuple[object, ...]
    orientation: tuple[float, ...]
    images: list[Image]


def lay_out(instances: Sequence[InstanceFacts]) -> tuple[Stack, ...]:
    """Sort every frame that has a position and an orientation into its stack."""
    groups: list[_Group] = []
    for instance in instances:
        for frame in instance.frames:
            if frame.orientation is None or frame.position is None:
                continue
            if not all(
                abs(value) <= FARTHEST_MM for value in (*frame.orientation, *frame.position)
            ):
                continue
            key = (frame.rows, frame.columns, frame.kind)
            group = next((g for g in groups if _joins(g, key, frame.orientation)), None)
            if group is None:
                group = _Group(key, frame.orientation, [])
                groups.append(group)
            distance = _distance(group.orientation, frame.position)
            group.images.append(Image(instance, frame, distance))
    return tuple(Stack(_places(_same_echoes(group.images))) for group in groups)


def _same_echoes(images: list[Image]) -> list[Image]:
    """Give echo times that differ only by rounding the same value."""
    known = sorted({image.frame.echo for image in images if image.frame.echo is not None})
    if len(known) < 2:
        return images
    same = {known[0]: known[0]}
    for before, echo in pairwise(known):
        same[echo] = same[before] if echo - before <= SAME_ECHO_MS else echo
    return [
        image
        if image.frame.echo is None
        else replace(image, frame=image.frame._replace(echo=same[image.frame.echo]))
        for image in images
    ]


def spacing(stack: Stack) -> Spacing | None:
    """How a stack's places follow each other; None for fewer than three places."""
    steps = [
        stack.distance(place + 1) - stack.distance(place) for place in range(len(stack.places) - 1)
    ]
    if len(steps) < 2:
        return None
    step = sorted(steps)[(len(steps) - 1) // 2]
    gaps = []
    for place, found in enumerate(steps):
        multiple = round(found / step)
        if multiple < 1 or abs(found / step - multiple) > EVEN:
            return Spacing(step, (), uneven=True)
        if multiple > 1:
            gaps.append((place, multiple - 1))
    return Spacing(step, tuple(gaps), uneven=False)


def numbering(instances: Sequence[InstanceFacts]) -> Numbering:
    """Describe the InstanceNumbers; series numbered 2, 4, 6 … have no gaps."""
    known = sorted(instance.number for instance in instances if instance.number is not None)
    if len(known) < len(instances) or len(known) < 2 or len(set(known)) < len(known):
        return Numbering(usable=False)
    steps = [after - before for before, after in pairwise(known)]
    stride = gcd(*steps) if len(steps) >= FEWEST_STEPS else 1
    gaps = tuple(
        (before + stride, before + step - stride)
        for before, step in zip(known, steps, strict=False)
        if step > stride
    )
    missing = sum((last - first) // stride + 1 for first, last in gaps)
    return Numbering(True, known[0], known[-1], stride, gaps, missing)


def cut_short(stacks: Sequence[Stack]) -> bool:
    """Whether a scan was stopped: planned times have numbers left, and no earlier time is missing.

    Some scanners number slice by slice, with a number for each planned time. The numbers of a scan
    that was stopped have gaps, but the times at each place are consecutive, up to the last one or
    the one before it. Where no numbers are left for further times, a gap may be a loss.

    Args:
        stacks: the frames of the series in space.
    """
    times: list[set[int]] = []
    bases: list[int] = []
    for stack in stacks:
        for place in stack.places:
            found = [(image.frame.time, image.instance.number) for image in place]
            here = {(time, number) for time, number in found if time and number is not None}
            base = {number - time for time, number in here}
            if len(here) < len(found) or len(base) != 1:
                return False
            times.append({time for time, _ in here})
            bases += base
    known = set[int]().union(*times)
    last = len(known)
    if last < 2 or known != set(range(1, last + 1)):
        return False
    bases.sort()
    room = all(after - before > last for before, after in pairwise(bases))
    return room and all(known - {last} <= found for found in times)


def _joins(group: _Group, key: tuple[object, ...], orientation: Sequence[float]) -> bool:
    if group.key != key:
        return False
    pairs = zip(group.orientation, orientation, strict=True)
    return group.orientation == orientation or all(abs(a - b) <= SAME_DIRECTION for a, b in pairs)


def _distance(orientation: Sequence[float], position: Vector) -> float:
    rx, ry, rz, cx, cy, cz = orientation
    normal = (ry * cz - rz * cy, rz * cx - rx * cz, rx * cy - ry * cx)
    return normal[0] * position[0] + normal[1] * position[1] + normal[2] * position[2]


def _places(images: list[Image]) -> tuple[tuple[Image, ...], ...]:
    images.sort(key=lambda image: image.distance)
    places: list[list[Image]] = []
    for image in images:
        if places and image.distance - places[-1][0].distance <= SAME_PLACE_MM:
            places[-1].append(image)
        else:
            places.append([image])
    return tuple(tuple(place) for place in places)
