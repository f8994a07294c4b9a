"""Outlines along pixel edges: filled again they are the mask, holes and all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from node.convert.results.contours import outlines
from tests.unit.convert.results.test_round_trip import even_odd


@given(arrays(bool, (9, 8)))
def test_filled_again_they_are_the_mask(mask: np.ndarray) -> None:
    filled = np.zeros_like(mask)
    for corners in outlines(mask):
        filled ^= even_odd(corners, mask.shape)
    assert np.array_equal(filled, mask)


@pytest.mark.parametrize(
    ("rows", "polygons"),
    [
        ([".....", ".###.", ".#.#.", ".###.", "....."], 1),  # one hole, joined by a keyhole
        (["#.#", ".#.", "#.#"], 5),  # regions that touch at corners stay apart
        (["#####", "#.#.#", "#####"], 1),  # two holes
        (["#####", "#...#", "#.#.#", "#...#", "#####"], 2),  # an island in a hole
    ],
)
def test_each_region_has_one_polygon(rows: list[str], polygons: int) -> None:
    mask = np.array([[cell == "#" for cell in row] for row in rows])
    found = outlines(mask)
    assert len(found) == polygons
    filled = np.zeros_like(mask)
    for corners in found:
        part = even_odd(corners, mask.shape)
        assert not (filled & part).any()  # no polygon is laid over another: no even-odd is needed
        filled |= part
    assert np.array_equal(filled, mask)


def test_straight_edges_have_corners_at_their_ends_only() -> None:
    (corners,) = outlines(np.ones((3, 5), bool))
    assert sorted(map(tuple, corners.tolist())) == [
        (-0.5, -0.5), (-0.5, 2.5), (4.5, -0.5), (4.5, 2.5)
    ]  # fmt: skip
