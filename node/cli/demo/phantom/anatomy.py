"""What the phantom's patient is made of: a value for every point in space.

Both functions take points in RAS millimetres and are continuous: a volume whose affine is right
has, at every voxel, the value that they give for the voxel's place. Left and right, front and back
differ: nose and eyes in front, a metal pellet at the left ear, a bleed in the left hemisphere.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float64]
Points = tuple[Field, Field, Field]
Triple = tuple[float, float, float]

EDGE_MM = 2.5
"""Over this distance one tissue passes into the next, so that values are continuous in space."""


class _Part(NamedTuple):
    """A part of the head: how far inside it a point is (mm, positive inside), and its values."""

    inside: Callable[[Points], Field]
    hounsfield: float
    signal: float  # of the MR, arbitrary units


def _ellipsoid(centre: Triple, radii: Triple, points: Points) -> Field:
    scaled = sum(
        ((axis - middle) / radius) ** 2
        for axis, middle, radius in zip(points, centre, radii, strict=True)
    )
    return (1.0 - np.sqrt(scaled)) * min(radii)


def _ball(centre: Triple, radius: float) -> Callable[[Points], Field]:
    return partial(_ellipsoid, centre, (radius, radius, radius))


def _egg(centre: Triple, radii: Triple) -> Callable[[Points], Field]:
    return partial(_ellipsoid, centre, radii)


def _box(low: Triple, high: Triple, points: Points) -> Field:
    sides = [
        np.minimum(axis - lower, upper - axis)
        for axis, lower, upper in zip(points, low, high, strict=True)
    ]
    return np.minimum(np.minimum(sides[0], sides[1]), sides[2])


def _folded_cortex(points: Points) -> Field:
    """The brain's surface, wavy: sulci."""
    right, anterior, superior = points
    waves = np.sin(right / 4.5) * np.sin(anterior / 5.0 + 0.6) * np.sin(superior / 5.5)
    return _ellipsoid((0, -4, 16), (61, 75, 64), points) + 5.0 * waves - 2.0


def _white_matter(points: Points) -> Field:
    right, anterior, superior = points
    waves = np.sin(right / 4.5) * np.sin(anterior / 5.0 + 0.6) * np.sin(superior / 5.5)
    midline = np.abs(right) - 3.0  # the hemispheres' white matter does not meet
    return np.minimum(_ellipsoid((0, -4, 18), (50, 63, 50), points) + 7.0 * waves, midline)


_HEAD = (
    _Part(_egg((0, 0, 10), (76, 96, 92)), 40, 620),  # scalp and what lies under it
    _Part(_egg((0, -8, -80), (52, 58, 70)), 45, 420),  # neck
    _Part(_egg((0, 88, -24), (13, 24, 20)), 35, 560),  # nose
    _Part(_egg((0, 60, -58), (42, 34, 34)), 40, 480),  # jaw
    _Part(_egg((76, -8, -10), (10, 14, 24)), 30, 560),  # right ear
    _Part(_egg((-76, -8, -10), (10, 14, 24)), 30, 560),  # left ear
    _Part(_egg((0, 0, 12), (71, 90, 85)), 950, 60),  # skull
    _Part(_egg((0, -2, 13), (65, 82, 77)), 12, 900),  # cerebrospinal fluid
    _Part(_folded_cortex, 38, 640),
    _Part(_white_matter, 27, 480),
    _Part(_egg((0, -52, -34), (44, 26, 22)), 40, 620),  # cerebellum
    _Part(_egg((0, -22, -52), (12, 12, 52)), 32, 500),  # brain stem
    _Part(_egg((11, 6, 24), (6, 30, 11)), 8, 980),  # right lateral ventricle
    _Part(_egg((-11, 6, 24), (6, 30, 11)), 8, 980),  # left lateral ventricle
    _Part(_egg((0, -2, 8), (3, 14, 9)), 8, 980),  # third ventricle
    _Part(_egg((24, 6, 12), (10, 19, 12)), 42, 700),  # right basal ganglia
    _Part(_egg((-24, 6, 12), (10, 19, 12)), 42, 700),  # left basal ganglia
    _Part(_egg((0, 66, -24), (24, 12, 14)), -850, 20),  # nasal cavity
    _Part(_egg((14, 80, 14), (12, 6, 10)), -900, 20),  # right frontal sinus, the larger one
    _Part(_egg((-11, 80, 12), (7, 5, 7)), -900, 20),  # left frontal sinus
    _Part(_ball((31, 70, -6), 13), 10, 960),  # right eye
    _Part(_ball((-31, 70, -6), 13), 10, 960),  # left eye
    _Part(_ball((31, 79, -6), 4.5), 75, 300),  # right lens
    _Part(_ball((-31, 79, -6), 4.5), 75, 300),  # left lens
    _Part(_egg((-34, -22, 34), (13, 17, 12)), 72, 300),  # a bleed on the left
)
_BESIDE = (
    _Part(_ball((-90, -8, -4), 5.0), 2600, 0),  # metal pellet at the left ear
    _Part(partial(_box, (-85, -124, -160), (85, -112, 160)), -120, 0),  # the table, behind
)
_MOTOR_CORTEX = _ball((-42, -10, 52), 13)  # left: what moves the right hand


def head_ct(points: Points) -> Field:
    """Hounsfield units at points in RAS mm; air is -1000."""
    value = np.full(points[0].shape, -1000.0)
    for part in (*_HEAD, *_BESIDE):
        _paint(value, part.inside(points), part.hounsfield)
    return value


def head_mr(points: Points, activity: float) -> Field:
    """Signal of an echo-planar image at points in RAS mm; air is 0.

    Args:
        activity: how much the left motor cortex' signal is raised, as a fraction of the rest.
    """
    value = np.zeros(points[0].shape)
    for part in _HEAD:
        _paint(value, part.inside(points), part.signal)
    return value * (1.0 + activity * _weight(_MOTOR_CORTEX(points)))


def _paint(value: Field, inside: Field, colour: float) -> None:
    value += _weight(inside) * (colour - value)


def _weight(inside: Field) -> Field:
    return np.clip(0.5 + inside / EDGE_MM, 0.0, 1.0)
