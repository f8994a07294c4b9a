"""Which voxel is which source pixel, and what does not fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from node.assemble.series import plan
from node.assemble.volumes.manifest import make_manifest
from node.convert.results import Refusal, ResultError, grid_of_manifest, grid_of_plan, to_seg
from node.convert.results.grid import GridMismatch
from node.convert.results.volume_grids import finder
from tests.phantom import Phantom, oblique
from tests.unit.assemble.build import header, headers
from tests.unit.assemble.siemens_scans import Mosaic, sheet
from tests.unit.assemble.test_enhanced import enhanced
from tests.unit.convert.results.worlds import frame_points, grid_of, plan_of, reread, voxels, where

TURNED = Phantom(rotation=oblique((0.2, -0.3, 0.4)))


def refused(**changes: Any) -> GridMismatch:
    """The refusal of an image that differs from a grid."""
    grid = grid_of(TURNED)
    affine = changes.pop("affine", grid.affine)
    with pytest.raises(GridMismatch) as caught:
        grid.fit(affine, changes.pop("shape", grid.shape))
    return caught.value


def test_an_image_beside_the_grid_is_refused_with_the_distance() -> None:
    affine = grid_of(TURNED).affine.copy()
    affine[1, 3] += 3
    error = refused(affine=affine)
    assert error.refusal is Refusal.GRID_MISMATCH
    assert error.apart == pytest.approx(3)
    assert "3.00 mm" in error.sentence


def test_rounding_is_no_mismatch_and_a_fifth_of_a_millimetre_is() -> None:
    grid = grid_of(TURNED)
    affine = grid.affine.astype(np.float32).astype(np.float64)
    affine[0, 3] += 0.09
    grid.fit(affine, grid.shape)
    affine[0, 3] += 0.11
    with pytest.raises(GridMismatch):
        grid.fit(affine, grid.shape)


def test_another_shape_spacing_or_handedness_is_refused() -> None:
    grid = grid_of(TURNED)
    i, j, k = grid.shape
    refused(shape=(i, j, k - 1))
    refused(affine=grid.affine @ np.diag([2, 1, 1, 1]), shape=(i // 2, j, k))
    refused(affine=np.diag([-1, 1, 1, 1]) @ grid.affine)
    refused(affine=np.diag([0.0, 1, 1, 1]) @ grid.affine)
    refused(affine=np.full((4, 4), np.nan))


def test_the_manifest_says_the_same_as_the_plan() -> None:
    for phantom in (TURNED, Phantom(shear=1.3), Phantom(size=(4, 4, 1)), Phantom(volumes=3)):
        volume = plan_of(phantom)
        manifest = make_manifest(
            volume, proof={}, software="", image="", sha256="", left_out=(), refusals=()
        )
        find = finder(headers(phantom.instances()))
        ours, theirs = grid_of_plan(volume), grid_of_manifest(manifest, find)
        assert ours.frames == theirs.frames
        assert np.array_equal(ours.affine, theirs.affine)
        assert np.array_equal(ours.to_source, theirs.to_source)


def test_sources_that_are_gone_or_have_moved_are_an_earlier_revision() -> None:
    volume = plan_of(TURNED)
    manifest = make_manifest(
        volume, proof={}, software="", image="", sha256="", left_out=(), refusals=()
    )
    instances = TURNED.instances()
    with pytest.raises(ResultError, match="outdated-revision"):
        grid_of_manifest(manifest, finder(headers(instances[1:])))
    instances[2].ImagePositionPatient = [0, 0, 0]
    with pytest.raises(ResultError, match="outdated-revision"):
        grid_of_manifest(manifest, finder(headers(instances)))


def test_a_resampled_volume_has_no_source_pixels() -> None:
    grid = replace(grid_of(TURNED), to_source=None, resampled=("slices interpolated",))
    with pytest.raises(ResultError, match=r"grid-mismatch: .*--resample"):
        grid.slices(np.zeros(grid.shape, np.uint8))


def test_a_four_dimensional_series_refers_to_its_first_volume() -> None:
    phantom = Phantom(volumes=3)
    uids = {frame.sop_instance_uid for frame in grid_of(phantom).frames}
    assert uids == {phantom.instance(k, 0).SOPInstanceUID for k in range(4)}


def test_frames_of_a_multi_frame_instance_are_named_by_number() -> None:
    phantom = Phantom(rotation=oblique((0.1, 0.7, 0.0)), size=(6, 5, 5))
    source = enhanced(phantom, [3, 1, 4, 0, 2])
    (volume,) = plan([header(source)]).volumes
    grid = grid_of_plan(volume)
    mask = np.zeros(grid.shape, np.uint8)
    mask[2:4, 1:3] = 1
    result = reread(to_seg(grid, source, mask))
    assert len(result.SourceImageSequence) == 1
    found: set[tuple[int, ...]] = set()
    for at, group in enumerate(result.PerFrameFunctionalGroupsSequence):
        (reference,) = group.DerivationImageSequence[0].SourceImageSequence
        assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID
        said = source.PerFrameFunctionalGroupsSequence[reference.ReferencedFrameNumber - 1]
        assert np.allclose(
            said.PlanePositionSequence[0].ImagePositionPatient,
            group.PlanePositionSequence[0].ImagePositionPatient,
        )
        found |= voxels(grid, frame_points(result, at, result.pixel_array[at] > 0))
    assert found == where(mask)


def test_tiles_of_a_mosaic_are_slices_of_their_own() -> None:
    phantom = Phantom(size=(8, 8, 5))
    source = sheet(phantom, Mosaic())
    (volume,) = plan([header(source)]).volumes
    grid = grid_of_plan(volume)
    mask = np.zeros(grid.shape, np.uint8)
    mask[1:4, 2:7, 1:] = 1
    result = reread(to_seg(grid, source, mask))
    assert (result.Rows, result.Columns) == (8, 8)
    found: set[tuple[int, ...]] = set()
    for at in range(int(result.NumberOfFrames)):
        found |= voxels(grid, frame_points(result, at, result.pixel_array[at] > 0))
    assert found == where(mask)
    (series,) = result.ReferencedSeriesSequence
    assert [one.ReferencedSOPInstanceUID for one in series.ReferencedInstanceSequence] == [
        source.SOPInstanceUID
    ]


@pytest.mark.parametrize("order", [0, 1])
def test_another_grid_is_sampled_at_the_source_pixels(order: int) -> None:
    grid = grid_of(TURNED)
    affine = grid.affine @ np.diag([0.5, 0.5, 0.5, 1])
    affine[:3, 3] = grid.affine[:3, 3]
    fine = np.zeros(tuple(2 * size - 1 for size in grid.shape), np.float32)
    fine[::2, ::2, ::2] = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    sampled = grid.sampled(fine, affine, order=order).values
    assert np.abs(sampled - grid.slices(fine[::2, ::2, ::2])).max() < 1e-2
