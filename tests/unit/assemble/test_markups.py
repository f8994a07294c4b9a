"""Points of 3D Slicer and the matrix of a slice, against the examples of its documentation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import AssemblyError, space
from node.space import Markup, Point, read_points, slice_matrix, write_points
from tests.phantom import Phantom, oblique

POINTS = (Point("F-1", (-53.4, -73.25, 0.0)), Point('left, "upper"', (1.5, 2.0, -3.0), "tooth"))
LISTS = (Markup("Fiducial", POINTS, "teeth"),)
FCSV = """# Markups fiducial file version = 4.{version}
# CoordinateSystem = {system}
# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID
vtkMRMLMarkupsFiducialNode_0,1.29,-40.18,60.15,0,0,0,1,1,1,0,F-1,,{more}
"""


@pytest.mark.parametrize("ending", ["mrk.json", "fcsv"])
@pytest.mark.parametrize("system", ["LPS", "RAS"])
def test_what_is_written_is_read(tmp_path: Path, ending: str, system: str) -> None:
    path = tmp_path / f"points.{ending}"
    write_points(path, LISTS, system)
    (found,) = read_points(path)
    assert found.points == POINTS
    assert system in path.read_text()
    if ending == "mrk.json":
        (written,) = json.loads(path.read_text())["markups"]
        first = written["controlPoints"][0]["position"]
        assert first == ([-53.4, -73.25, 0.0] if system == "LPS" else [53.4, 73.25, 0.0])


@pytest.mark.parametrize(
    ("system", "version", "more", "expected"),
    [
        ("0", "10", "", (-1.29, 40.18, 60.15)),
        ("RAS", "11", "", (-1.29, 40.18, 60.15)),
        ("1", "10", "", (1.29, -40.18, 60.15)),
        ("LPS", "13", ",2,0", (1.29, -40.18, 60.15)),  # Slicer 5 writes two columns more
    ],
)
def test_fiducial_lists_of_every_version(
    tmp_path: Path, system: str, version: str, more: str, expected: tuple[float, ...]
) -> None:
    path = tmp_path / "points.fcsv"
    path.write_text(FCSV.format(system=system, version=version, more=more))
    (found,) = read_points(path)
    assert found.points == (Point("F-1", expected),)


def test_a_list_that_does_not_say_its_system_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "points.fcsv"
    lines = FCSV.format(system="0", version="4", more="").splitlines()
    path.write_text("\n".join(lines[:1] + lines[2:]))
    with pytest.raises(AssemblyError, match="LPS or RAS"):
        read_points(path)
    assert read_points(path, "RAS")[0].points[0].lps == (-1.29, 40.18, 60.15)


def test_points_that_are_not_placed_are_no_points(tmp_path: Path) -> None:
    path = tmp_path / "points.mrk.json"
    said = {"label": "a", "position": [1, 2, 3]}
    unplaced = {"label": "b", "position": [0, 0, 0], "positionStatus": "undefined"}
    path.write_text(json.dumps({"markups": [{"controlPoints": [said, unplaced]}]}))
    assert [point.label for point in read_points(path)[0].points] == ["a"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.mrk.json", "{}"),
        ("a.mrk.json", "[1]"),
        ("a.mrk.json", '{"markups": [{"coordinateSystem": "IJK"}]}'),
        ("a.mrk.json", '{"markups": [{"coordinateUnits": "in"}]}'),
        ("a.mrk.json", '{"markups": [{"controlPoints": [{"position": [1, 2]}]}]}'),
        ("a.mrk.json", '{"markups": [{"controlPoints": [{"position": [1, 2, NaN]}]}]}'),
        ("a.fcsv", "# CoordinateSystem = 2\n1,2"),
        ("a.fcsv", "# CoordinateSystem = LPS\n1,2"),
        ("a.txt", ""),
    ],
)
def test_what_are_no_points_is_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(AssemblyError, match="points-unreadable"):
        read_points(tmp_path / name)


def test_ij_to_ls_of_slicers_example() -> None:
    """A coronal slice, 50 mm pixels: i runs to the left, j downwards, the first at L 50, S 300."""
    affine = np.array([[50.0, 0, 0, 50], [0, 0, 1, 7], [0, -50, 0, 300], [0, 0, 0, 1]])
    found = slice_matrix(affine, 0)
    assert (found.axes, found.voxel_axes) == ("LS", "ij")
    assert found.matrix.tolist() == [[50, 0, 50], [0, -50, 300], [0, 0, 1]]


@given(st.tuples(*[st.floats(-3.1, 3.1)] * 3), st.integers(0, 2), st.sampled_from(["LPS", "RAS"]))
def test_the_matrix_of_a_slice_is_exact_and_has_an_inverse(
    turned: tuple[float, float, float], axis: int, world: str
) -> None:
    affine = Phantom(rotation=oblique(turned)).affine
    affine = affine if world == "LPS" else space.lps_to_ras(affine)
    found = slice_matrix(affine, 3, axis=axis, world=world)
    rows = [world.index(letter) for letter in found.axes]
    voxel = np.array([2.0, 5.0, 1.0])
    voxel[axis] = 3
    pixel = [*np.delete(voxel, axis), 1.0]
    assert np.allclose((found.matrix @ pixel)[:2], space.to_world(affine, voxel)[rows])
    assert abs(np.linalg.det(found.matrix)) > 1.0
