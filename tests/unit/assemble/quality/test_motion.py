"""Planted motion of a phantom head is found, in the units of the scanner."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.spatial.transform import Rotation

from node.assemble.quality.motion import MotionEstimator, framewise_displacement
from node.convert.quality import FD_LIMIT

SHAPE = (64, 64, 36)
AFFINE = np.diag([3.0, 3.0, 3.5, 1.0])
AFFINE[:3, 3] = -AFFINE[:3, :3] @ ((np.array(SHAPE) - 1) / 2)
Array = npt.NDArray[np.float64]


def head(seed: int = 0) -> Any:
    """A smooth head: a function of points (..., 3) in RAS mm."""
    chance = np.random.default_rng(seed)
    spots = [
        (chance.uniform(-45, 45, 3), chance.uniform(6, 14), chance.uniform(100, 400))
        for _ in range(30)
    ]

    def at(points: Array) -> Array:
        ratio = np.linalg.norm(points / [70, 80, 55], axis=-1)
        values = 600 / (1 + np.exp((ratio - 1) * 25))
        for place, width, height in spots:
            values = values + height * np.exp(
                -np.sum((points - place) ** 2, axis=-1) / 2 / width**2
            )
        return np.asarray(values)

    return at


HEAD = head()


def seen(
    translation: Any = (0, 0, 0),
    degrees: Any = (0, 0, 0),
    affine: Array = AFFINE,
    noise: float = 10.0,
    seed: int = 1,
) -> Array:
    """The head after a motion, as the scanner sees it."""
    grid = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    points = grid @ affine[:3, :3].T + affine[:3, 3]
    turn = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    values = HEAD((points - np.array(translation)) @ turn)
    return np.asarray(values + np.random.default_rng(seed).normal(0, noise, SHAPE))


@pytest.mark.parametrize("axis", range(6))
def test_one_millimetre_and_one_degree_are_found_within_a_tenth(axis: int) -> None:
    planted = np.zeros(6)
    planted[axis] = 1.0
    estimator = MotionEstimator(seen(seed=0), AFFINE)
    found = estimator.register(seen(planted[:3], planted[3:]))
    assert np.abs(found - planted).max() < 0.1


def test_axes_of_an_oblique_grid_that_runs_backwards_are_those_of_the_world() -> None:
    turn = Rotation.from_euler("xyz", [20, -10, 15], degrees=True).as_matrix()
    affine = AFFINE.copy()
    affine[:3, :3] = turn @ np.diag([-3.0, 3.0, 3.5])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(SHAPE) - 1) / 2)
    estimator = MotionEstimator(seen(affine=affine, seed=0), affine)
    planted = np.array([1.0, -0.5, 0.3, 0.4, -1.0, 0.8])
    found = estimator.register(seen(planted[:3], planted[3:], affine))
    assert np.abs(found - planted).max() < 0.1


def test_a_large_jump_is_found_and_come_back_from() -> None:
    estimator = MotionEstimator(seen(seed=0), AFFINE)
    planted = np.array([4.0, 2.0, -3.0, 3.0, -2.0, 4.0])
    assert np.abs(estimator.register(seen(planted[:3], planted[3:])) - planted).max() < 0.3
    assert np.abs(estimator.register(seen(seed=3))).max() < 0.1


def test_a_brighter_volume_and_a_bad_slice_are_no_motion() -> None:
    estimator = MotionEstimator(seen(seed=0), AFFINE)
    other = seen() * 1.1
    other[:, :, 17] *= 0.3
    assert np.abs(estimator.register(other)).max() < 0.1


@pytest.mark.parametrize("noise", [10.0, 40.0])
def test_noise_alone_is_no_motion(noise: float) -> None:
    estimator = MotionEstimator(seen(noise=noise, seed=0), AFFINE)
    poses = [estimator.register(seen(noise=noise, seed=seed)) for seed in range(1, 7)]
    ways = framewise_displacement(np.stack([np.zeros(6), *poses]))
    assert ways.max() < 0.5 * FD_LIMIT


def test_displacement_adds_ways_and_the_way_at_fifty_millimetres() -> None:
    poses = np.zeros((3, 6))
    poses[1] = [0.1, -0.2, 0.3, 0, 0, 0]
    poses[2] = [0.1, -0.2, 0.3, 1, 0, 0]
    assert np.allclose(framewise_displacement(poses), [0, 0.6, 50 * np.pi / 180])


def test_an_empty_volume_has_no_motion() -> None:
    estimator = MotionEstimator(np.zeros(SHAPE), AFFINE)
    assert np.isnan(estimator.register(np.zeros(SHAPE))).all()
