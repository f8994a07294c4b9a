"""The mathematics of space against first principles."""

from __future__ import annotations

from importlib import import_module

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from node.assemble import space
from tests.phantom import Phantom, oblique

angles = st.tuples(*[st.floats(-3.1, 3.1)] * 3)


def test_lps_to_ras_turns_x_and_y_round() -> None:
    point = np.eye(4)
    point[:3, 3] = [10, 20, 30]
    assert space.lps_to_ras(point)[:3, 3].tolist() == [-10, -20, 30]
    assert (space.ras_to_lps(space.lps_to_ras(point)) == point).all()


@given(angles)
def test_world_and_voxel_are_inverses(turned: tuple[float, float, float]) -> None:
    affine = Phantom(rotation=oblique(turned)).affine
    voxels = np.array([[0, 0, 0], [1, 2, 3], [5.5, -1, 2]])
    assert np.allclose(space.to_voxel(affine, space.to_world(affine, voxels)), voxels)


@given(angles, angles)
def test_voxel_map_goes_through_the_world(
    one: tuple[float, float, float], other: tuple[float, float, float]
) -> None:
    a, b = Phantom(rotation=oblique(one)).affine, Phantom(rotation=oblique(other)).affine
    voxels = np.array([[3.0, 1, 2]])
    through = space.to_world(space.voxel_map(a, b), voxels)
    assert np.allclose(space.to_world(b, through), space.to_world(a, voxels))


@given(angles)
def test_canonical_axes_point_right_anterior_superior(turned: tuple[float, float, float]) -> None:
    affine = space.lps_to_ras(Phantom(rotation=oblique(turned)).affine)
    orientation = space.canonical_orientation(affine)
    canonical = space.canonical_affine(affine, (6, 5, 4), orientation)
    assert np.linalg.det(canonical[:3, :3]) > 0
    axes = canonical[:3, :3] / np.array(space.voxel_sizes(canonical))
    assert (np.diag(axes) > 0).all()
    corners = np.array([[0, 0, 0], [5, 4, 3]])
    moved = space.to_world(affine, corners)
    back = space.to_voxel(canonical, moved)
    assert np.allclose(back, np.rint(back), atol=1e-6)


def test_shear_is_seen_and_rotation_is_not() -> None:
    turned = Phantom(rotation=oblique((0.3, -0.2, 0.1)))
    assert not space.is_sheared(turned.affine)
    assert space.is_sheared(turned.but(shear=0.5).affine)


def test_programs_find_it_under_its_public_name() -> None:
    public = import_module("node.space")
    names = ("space", "resampling", "planes", "markups")
    rooms = [public, *(import_module(f"node.assemble.{name}") for name in names)]
    for name in public.__all__:
        assert any(getattr(room, name, None) is getattr(public, name) for room in rooms), name
