"""Which instance a voxel came from, and which volumes share a grid, by their manifests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from node.web.viewer.manifests import Label, Proof, read_proof

AFFINE = [[-0.5, 0, 0, 80], [0, 0.5, 0, -70], [0, 0, 2.0, 10], [0, 0, 0, 1]]


def proof(folder: Path, **changes: Any) -> Proof:
    content = {"shape": [300, 300, 40], "affine": AFFINE, "slice_axis": "k", "sources": []}
    path = folder / f"{len(list(folder.iterdir()))}.manifest.json"
    path.write_text(json.dumps({**content, **changes}))
    return read_proof(path)


def test_a_voxel_of_an_image_has_the_source_of_its_slice_and_time(tmp_path: Path) -> None:
    sources = [
        {"k": 3, "t": 0, "sop_instance_uid": "1.2"},
        {"k": 3, "t": 1, "sop_instance_uid": "1.3"},
    ]
    found = proof(tmp_path, slice_axis="i", sources=sources)
    assert found.source_of((3, 0, 0), 0) == "1.2"
    assert found.source_of((3, 0, 0), 1) == "1.3"
    assert found.source_of((0, 0, 3), 0) is None


def test_all_voxels_of_a_label_map_have_one_source(tmp_path: Path) -> None:
    found = proof(tmp_path, sources=[{"sop_instance_uid": "1.9"}])
    assert found.source_of((7, 8, 9), 0) == "1.9"


def test_labels_with_and_without_colour(tmp_path: Path) -> None:
    labels = [{"value": 2, "name": "Liver", "colour": [1, 2, 300]}, {"value": 5}]
    assert proof(tmp_path, labels=labels).labels == (
        Label(2, "Liver", (1, 2, 255)),
        Label(5, "", None),
    )


@pytest.mark.parametrize(
    ("shift", "shape", "same"),
    [
        (0.0, [300, 300, 40], True),
        (0.004, [300, 300, 40, 7], True),  # rounding; another number of volumes
        (0.02, [300, 300, 40], False),
        (0.0, [300, 300, 41], False),
    ],
)
def test_a_label_map_is_shown_over_its_own_grid_only(
    tmp_path: Path, shift: float, shape: list[int], same: bool
) -> None:
    moved = [[*row[:3], row[3] + shift] for row in AFFINE[:3]] + [AFFINE[3]]
    one, other = proof(tmp_path), proof(tmp_path, affine=moved, shape=shape)
    assert one.on_grid_of(other) is same


def test_a_small_turn_counts_at_the_far_corner(tmp_path: Path) -> None:
    turned = [list(row) for row in AFFINE]
    turned[1][0] = 0.0002  # 0.06 mm at i = 299
    assert not proof(tmp_path).on_grid_of(proof(tmp_path, affine=turned))


def test_without_a_grid_nothing_is_on_it(tmp_path: Path) -> None:
    assert not proof(tmp_path, affine=[]).on_grid_of(proof(tmp_path, affine=[]))
