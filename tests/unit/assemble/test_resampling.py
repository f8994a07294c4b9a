"""An image on another grid: every voxel has the value of its place, or the one for outside."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.assemble import resampling, space
from node.assemble.resampling import resample
from tests.phantom import Phantom, oblique

angles = st.tuples(*[st.floats(-3.1, 3.1)] * 3)
SIZE = (7, 6, 5)
IMAGE = np.asfortranarray(np.arange(np.prod(SIZE)).reshape(SIZE).astype(np.int16) * 3 - 40)
STILL = Phantom(rotation=np.eye(3)).affine
FIELD = np.indices(SIZE)
NARROW, WIDE = (9, 8, 7), (40, 30, 20)


def placed(pull: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """(i, j, k, 3) where the voxels of a grid are in the image, voxels."""
    return space.to_world(pull, np.moveaxis(np.indices(shape), 0, -1))


def seen(places: np.ndarray) -> np.ndarray:
    return ((places >= -0.5) & (places < np.array(SIZE) - 0.5)).all(axis=-1)


@pytest.mark.parametrize("order", [0, 1, 3])
@pytest.mark.parametrize("kind", [np.int16, np.uint8, np.float32, np.float64, np.int64])
def test_onto_its_own_grid_changes_nothing(order: int, kind: Any) -> None:
    data = np.arange(120).reshape(6, 5, 4).astype(kind)
    affine = Phantom(rotation=oblique((0.3, -0.2, 0.1))).affine
    made = resample(data, affine, affine, (6, 5, 4), order=order)
    assert made.dtype == kind
    assert np.allclose(
        made, data, atol=0 if order < 3 or kind not in {np.float32, np.float64} else 1e-4
    )


def test_it_follows_the_world() -> None:
    grid = np.indices((10, 10, 10)).astype(float)
    data = np.stack([grid[0] * 2, grid[1] * 2, grid[2] * 2], axis=-1)
    fine, coarse = np.diag([1.0, 1, 1, 1]), np.diag([2.0, 2, 2, 1])
    fine[:3, 3] = [3, 4, 5]
    sampled = resample(data, coarse, fine, (8, 8, 8))
    assert np.allclose(sampled[2, 3, 4], [5, 7, 9])
    outside = resample(data[..., 0], coarse, fine, (30, 3, 3), outside=-1.0)
    assert outside[-1, 0, 0] == -1


@settings(deadline=None, max_examples=25)
@given(angles, st.sampled_from([NARROW, WIDE]), st.sampled_from("FC"))
def test_the_nearest_voxel_or_the_value_for_outside(
    turned: tuple[float, float, float], shape: tuple[int, int, int], layout: Any
) -> None:
    grid = Phantom(rotation=oblique(turned), spacing=(1.1, 1.3, 1.7)).affine
    places = placed(space.voxel_map(grid, STILL), shape)
    expected = np.full(shape, -99, np.int16)
    inside = seen(places)
    nearest = np.floor(places[inside] + 0.5).astype(int)
    expected[inside] = IMAGE[tuple(nearest.T)]
    image = np.array(IMAGE, order=layout)
    made = resample(image, STILL, grid, shape, order=0, outside=-99)
    assert (made == expected).all()


@settings(deadline=None, max_examples=25)
@given(angles, st.sampled_from([NARROW, WIDE]))
def test_linear_between_voxels_and_the_outermost_ones_to_the_edge(
    turned: tuple[float, float, float], shape: tuple[int, int, int]
) -> None:
    slope = np.array([3.0, -2.0, 5.0])
    image = np.asfortranarray(np.moveaxis(FIELD, 0, -1) @ slope).astype(np.float32)
    grid = Phantom(rotation=oblique(turned), spacing=(1.1, 1.3, 1.7)).affine
    places = placed(space.voxel_map(grid, STILL), shape)
    expected = np.clip(places, 0, np.array(SIZE) - 1) @ slope
    made = resample(image, STILL, grid, shape, outside=-99)
    assert np.allclose(made, np.where(seen(places), expected, -99), atol=1e-4)


@pytest.mark.parametrize("order", [0, 1, 3])
def test_nothing_is_blended_in_from_outside(order: int) -> None:
    image = np.full(SIZE, 1000, np.int16)
    grid = Phantom(rotation=oblique((0.4, 0.3, -0.2)), spacing=(0.7, 0.7, 0.7)).affine
    made = resample(image, STILL, grid, WIDE, order=order, outside=-1000)
    assert set(np.unique(made).tolist()) == {-1000, 1000}


def test_values_stay_within_the_type() -> None:
    image = np.zeros(SIZE, np.uint8)
    image[::2] = 255
    fine = np.diag([0.3, 1, 1, 1])
    made = resample(image, np.eye(4), fine, (20, 6, 5), order=3, outside=-5)
    assert made.min() == 0
    assert made[:4, 0, 0].tolist() == sorted(made[:4, 0, 0].tolist(), reverse=True)


@pytest.mark.parametrize("order", [0, 1])
def test_several_threads_do_the_same(order: int, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = Phantom(rotation=oblique((0.4, 0.3, -0.2))).affine
    alone = resample(IMAGE, STILL, grid, WIDE, order=order)
    monkeypatch.setattr(resampling, "ALONE_VOXELS", 0)
    monkeypatch.setattr(resampling, "BRICK", (7, 5, 3))
    monkeypatch.setattr(resampling, "available_processors", lambda: 3)
    assert (resample(IMAGE, STILL, grid, WIDE, order=order) == alone).all()


def test_a_single_slice_is_half_a_voxel_thick() -> None:
    slices = np.diag([1, 1, 0.25, 1.0])
    slices[2, 3] = -1
    made = resample(np.ones((3, 3, 1), np.float32), np.eye(4), slices, (3, 3, 9))
    assert made[1, 1].tolist() == [0, 0, 1, 1, 1, 1, 0, 0, 0]


@pytest.mark.parametrize(("order", "name"), [(0, "sitkNearestNeighbor"), (1, "sitkLinear")])
def test_as_simpleitk_does_it(order: int, name: str) -> None:
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK (rasnode[sitk]) is not installed")
    rng = np.random.default_rng(1)
    data = np.asfortranarray(rng.normal(size=(30, 20, 10)).astype(np.float32))
    grid = Phantom(rotation=oblique((0.2, -0.3, 0.1)), spacing=(0.9, 1.2, 2.0)).affine
    fixed = sitk.Image((25, 24, 12), sitk.sitkFloat32)
    sizes = np.array(space.voxel_sizes(grid))
    fixed.SetSpacing(sizes.tolist())
    fixed.SetDirection((grid[:3, :3] / sizes).ravel().tolist())
    fixed.SetOrigin(grid[:3, 3].tolist())
    moving = sitk.GetImageFromArray(data.transpose(2, 1, 0))
    theirs = sitk.Resample(moving, fixed, sitk.Transform(), getattr(sitk, name), 7.0)
    ours = resample(data, np.eye(4), grid, (25, 24, 12), order=order, outside=7.0)
    assert np.allclose(ours, sitk.GetArrayFromImage(theirs).transpose(2, 1, 0), atol=1e-5)
