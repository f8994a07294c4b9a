"""Where slices lie, and what rounding and jitter make of it in headers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from random import Random

from tests.simulator.scanner.truth import Grid, Vector

_AXIAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
_CORONAL = ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0))
_SAGITTAL = ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0))


def cross(a: Vector, b: Vector) -> Vector:
    """Return the vector product."""
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def unit(v: Vector) -> Vector:
    """Return a vector of length 1."""
    length = math.hypot(*v)
    return v[0] / length, v[1] / length, v[2] / length


def along(*terms: tuple[float, Vector]) -> Vector:
    """Return a sum of multiples of vectors."""
    x, y, z = (sum(factor * v[i] for factor, v in terms) for i in range(3))
    return x, y, z


def turned(v: Vector, axis: Vector, angle: float) -> Vector:
    """Turn a vector about a unit axis, radians (Rodrigues)."""
    dot = sum(a * b for a, b in zip(v, axis, strict=True))
    cosine, sine = math.cos(angle), math.sin(angle)
    return along((cosine, v), (sine, cross(axis, v)), ((1 - cosine) * dot, axis))


def normal_of(grid: Grid) -> Vector:
    """Return the normal, row x column."""
    return cross(grid.row, grid.column)


def turned_grid(grid: Grid, axis: Vector, angle: float) -> Grid:
    """Return a grid that is turned about its origin."""
    row, column, step = (turned(v, axis, angle) for v in (grid.row, grid.column, grid.step))
    return replace(grid, row=row, column=column, step=step)


def random_grid(rng: Random, *, tilted: bool) -> Grid:
    """Return a grid somewhere in a patient.

    Args:
        tilted: a gantry tilt, which shears the stack.
    """
    row, column = rng.choice((_AXIAL, _AXIAL, _CORONAL, _SAGITTAL))
    if rng.random() < 0.5:
        axis = unit((rng.uniform(-1, 1), rng.uniform(-1, 1), rng.uniform(-1, 1) + 1e-3))
        angle = rng.uniform(-0.6, 0.6)
        row, column = turned(row, axis, angle), turned(column, axis, angle)
    between = rng.choice((0.6, 1.0, 2.5, 3.0, 3.3, 5.0, rng.uniform(0.8, 6.0)))
    normal = cross(row, column)
    step = along((rng.choice((-1.0, 1.0)) * between, normal))
    if tilted:
        step = along((1.0, step), (rng.uniform(-0.4, 0.4) * between, column))
    origin = (rng.uniform(-200, 200), rng.uniform(-200, 200), rng.uniform(-900, 900))
    spacing = rng.uniform(0.5, 3.5)
    other = spacing if rng.random() < 0.8 else rng.uniform(0.5, 3.5)
    return Grid(origin, row, column, step, (spacing, other), (rng.randint(4, 8), rng.randint(4, 8)))


@dataclass(frozen=True)
class Writing:
    """How places are written.

    Attributes:
        decimals: of Image Position (Patient).
        cosines: decimals of Image Orientation (Patient).
        spacing: mm; jitter of Pixel Spacing.
        direction: by how much components of directions differ from frame to frame.
        whom: which frames the jitter of directions is for: every one, or every second slice.
    """

    decimals: int = 6
    cosines: int = 6
    spacing: float = 0.0
    direction: float = 0.0
    whom: str = "every"


def random_writing(rng: Random) -> Writing:
    """Return a scanner's habit of writing places."""
    return Writing(
        decimals=rng.choice((6, 6, 6, 6, 4, 3, 2, 2, 1)),
        cosines=rng.choice((6, 6, 6, 6, 5, 4)),
        spacing=rng.choice((0.0,) * 7 + (1e-4, 4e-4)),
        direction=rng.choice((0.0,) * 7 + (1e-4, 5e-4, 1.0e-3, 1.5e-3)),
        whom=rng.choice(("every", "second")),
    )


def written(
    rng: Random, how: Writing, grid: Grid, k: int
) -> tuple[Vector, tuple[float, ...], tuple[float, float], float]:
    """Return position, orientation and spacing of a slice as written, and how far off it is, mm."""
    x, y, z = (round(value, how.decimals) + 0.0 for value in grid.at(0, 0, k))
    row, column = grid.row, grid.column
    if how.direction and (how.whom == "every" or k % 2):
        noise = [rng.uniform(-0.5, 0.5) * how.direction for _ in range(3)]
        for axis, angle in zip((row, column, cross(row, column)), noise, strict=True):
            row, column = turned(row, axis, angle), turned(column, axis, angle)
    orientation = tuple(round(value, how.cosines) + 0.0 for value in (*row, *column))
    down, right = (
        round(value + (rng.uniform(-how.spacing, how.spacing) if how.spacing else 0.0), 6)
        for value in grid.spacing
    )
    rows, columns = grid.size
    worst = 0.0
    for r in (0, rows - 1):
        for c in (0, columns - 1):
            true = grid.at(c, r, k)
            own = [
                (x, y, z)[i] + c * right * orientation[i] + r * down * orientation[3 + i]
                for i in range(3)
            ]
            worst = max(worst, math.dist(true, own))
    return (x, y, z), orientation, (down, right), worst


def slice_order(rng: Random, count: int) -> list[int]:
    """Return the rank of each slice in the order of acquisition."""
    order = list(range(count))
    how = rng.choice(("up", "up", "down", "odd first", "even first"))
    if how == "down":
        order.reverse()
    elif how != "up":
        order = order[how == "odd first" :: 2] + order[how != "odd first" :: 2]
    ranks = [0] * count
    for rank, k in enumerate(order):
        ranks[k] = rank
    return ranks
