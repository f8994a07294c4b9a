"""Reconstructed tomography of nuclear medicine: slices where detector and vectors put them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from pydicom.dataset import Dataset

from node.assemble import space
from node.assemble.frames.nuclear import NUCLEAR_CLASS
from node.assemble.series import plan
from node.convert import OutputOptions, convert_series, read_folder
from node.core.errors import Reason
from tests.phantom import Phantom, code, decimal, oblique, save
from tests.unit.assemble.build import changed, header

PHANTOM = Phantom(rotation=oblique((0.3, -0.2, 2.0)), size=(6, 5, 4))


def tomography(
    slices: Sequence[int], times: Sequence[int] = (), *, step: float = 3.0, **attributes: Any
) -> Dataset:
    """Frames of the phantom whose voxels say where they lie; slice 1 is at its origin."""
    made = PHANTOM.instance(0)
    made.SOPClassUID, made.Modality = NUCLEAR_CLASS, "NM"
    made.ImageType = ["ORIGINAL", "PRIMARY", "RECON GATED TOMO" if times else "RECON TOMO"]
    detector = Dataset()
    detector.ImagePositionPatient = made.ImagePositionPatient
    detector.ImageOrientationPatient = made.ImageOrientationPatient
    del made.ImagePositionPatient, made.ImageOrientationPatient
    made.DetectorInformationSequence = [detector]
    made.NumberOfFrames = len(slices)
    made.SliceVector, made.NumberOfSlices = list(slices), max(slices)
    made.SpacingBetweenSlices = step
    if times:
        made.TimeSlotVector = list(times)
    turns = times or [1] * len(slices)
    way = np.sign(step)
    frames = [
        code(PHANTOM.positions(int((k - 1) * way)), t - 1)
        for k, t in zip(slices, turns, strict=True)
    ]
    made.add_new(0x7FE00010, "OW", np.stack(frames).tobytes())
    return changed(made, **attributes)


def image(folder: Path, made: Dataset) -> Any:
    save([made], folder / "in")
    (series,) = read_folder([folder / "in"])[0]
    result = convert_series(series.instances, folder, "nm", OutputOptions(compress=False))
    assert not result.refusals
    return nib.load(folder / "nm.nii")


def check(found: Any, times: int = 1) -> None:
    """Every voxel holds the code of its own place and time."""
    data = np.asanyarray(found.dataobj).reshape(*found.shape[:3], times)
    voxels = np.stack(np.indices(data.shape[:3]), axis=-1)
    lps = space.to_world(space.ras_to_lps(np.asarray(found.affine, float)), voxels)
    for t in range(times):
        assert (data[..., t] == code(lps, t)).all()


@pytest.mark.parametrize("step", [3.0, -3.0])
@pytest.mark.parametrize("slices", [(1, 2, 3, 4), (1, 3, 2, 4), (4, 3, 2, 1)])
def test_slices_lie_by_their_number(tmp_path: Path, slices: tuple[int, ...], step: float) -> None:
    found = image(tmp_path, tomography(slices, step=step))
    assert found.shape == (5, 6, 4)
    check(found)


@pytest.mark.parametrize("slices_first", [True, False])
def test_time_slots_are_the_fourth_axis(tmp_path: Path, slices_first: bool) -> None:
    pairs = [(k, t) for t in (1, 2, 3) for k in (1, 2, 3, 4)]
    pairs = pairs if slices_first else sorted(pairs)
    slices, times = zip(*pairs, strict=True)
    found = image(tmp_path, tomography(slices, times))
    assert found.shape == (5, 6, 4, 3)
    check(found, 3)


def test_energy_windows_are_images_of_their_own() -> None:
    made = tomography((1, 2, 3, 4) * 2, EnergyWindowVector=[1] * 4 + [2] * 4)
    found = plan([header(made)])
    assert not found.refusals
    assert [volume.shape for volume in found.volumes] == [(5, 6, 4)] * 2
    frames = [[piece.frame.index for piece in volume.grid[0]] for volume in found.volumes]
    assert frames == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_detectors_lie_each_at_its_place() -> None:
    made = tomography((1, 2, 3, 4) * 2, DetectorVector=[2] * 4 + [1] * 4)
    other = Dataset()
    other.ImageOrientationPatient = made.DetectorInformationSequence[0].ImageOrientationPatient
    other.ImagePositionPatient = decimal(PHANTOM.affine[:3] @ [20, 0, 0, 1])
    made.DetectorInformationSequence = [made.DetectorInformationSequence[0], other]
    found = plan([header(made)])
    assert not found.refusals
    assert len(found.volumes) == 2
    for volume in found.volumes:
        first = volume.grid[0][0].frame
        place = [20, 0, 0, 1] if first.index < 4 else [0, 0, 0, 1]
        assert volume.lps[:3, 3] == pytest.approx(PHANTOM.affine[:3] @ place)


@pytest.mark.parametrize("elsewhere", [True, False])
def test_detectors_at_several_places_need_a_vector(elsewhere: bool) -> None:
    made = tomography((1, 2, 3, 4))
    other = copy.deepcopy(made.DetectorInformationSequence[0])
    if elsewhere:
        other.ImagePositionPatient = [0, 0, 0]
    made.DetectorInformationSequence.append(other)
    result = plan([header(made)])
    assert bool(result.volumes) is not elsewhere
    assert [one.reason for one in result.refusals] == [Reason.INCONSISTENT_FRAMES] * elsewhere


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"SliceVector": [1, 2, 3]}, Reason.INCONSISTENT_FRAMES),
        ({"SliceVector": None}, Reason.INCONSISTENT_FRAMES),
        ({"SliceVector": [1, 2, 2, 3], "NumberOfSlices": 3}, Reason.INCONSISTENT_FRAMES),
        ({"SliceVector": [2, 3, 4, 5], "NumberOfSlices": 5}, Reason.INCONSISTENT_FRAMES),
        ({"NumberOfSlices": 5}, Reason.INCONSISTENT_FRAMES),
        ({"TimeSlotVector": [1, 1]}, Reason.INCONSISTENT_FRAMES),
        ({"SpacingBetweenSlices": None}, Reason.NO_GEOMETRY),
        ({"DetectorInformationSequence": None}, Reason.NO_GEOMETRY),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "TOMO", "EMISSION"]}, Reason.NO_GEOMETRY),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "DYNAMIC", "EMISSION"]}, Reason.NO_GEOMETRY),
    ],
)
def test_what_does_not_say_where_it_lies_is_refused(
    attributes: dict[str, Any], reason: Reason
) -> None:
    problem = header(tomography((1, 2, 3, 4), **attributes)).problem
    assert problem is not None
    assert problem.reason is reason
