"""What programs make of a loaded volume goes back onto its slices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from pydicom.dataset import Dataset

from node import load_dicom, open_volume
from node.convert import OutputOptions, convert_series, read_folder
from node.convert.results import Label, ResultError, ResultOptions
from tests.phantom import CT, Phantom, oblique, save

PHANTOM = Phantom(rotation=oblique((0.3, -0.2, 0.4)), sop_class=CT, size=(12, 10, 6))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("answers")
    save(PHANTOM.instances(), made / "in")
    (series,) = read_folder([made / "in"])[0]
    (made / "nifti").mkdir()
    convert_series(series.instances, made / "nifti", "one", OutputOptions(compress=False))
    return made


@pytest.fixture(params=["loaded", "opened"])
def volume(request: pytest.FixtureRequest, folder: Path) -> Any:
    if request.param == "loaded":
        return load_dicom(folder / "in")
    return open_volume(folder / "nifti/one.nii", folder / "in")


def back(made: Dataset, folder: Path, tmp_path: Path) -> Any:
    """The label map of an object, on the grid of its images."""
    save([made], tmp_path / "labels")
    (labels,) = read_folder([tmp_path / "labels"])[0]
    (images,) = read_folder([folder / "in"])[0]
    options = OutputOptions(compress=False)
    done = convert_series(
        labels.instances, tmp_path / "out", "label", options, references=images.instances
    )
    assert not done.refusals
    return nib.load(tmp_path / "out/label.nii")


def test_a_mask_comes_back_voxel_for_voxel(volume: Any, folder: Path, tmp_path: Path) -> None:
    mask = (volume.array > 2000).astype(np.uint8)
    made = volume.to_seg(mask, {1: "Liver"}, ResultOptions(description="A mask"))
    assert made.SeriesDescription == "A mask"
    assert made.SegmentSequence[0].SegmentLabel == "Liver"
    found = back(made, folder, tmp_path)
    assert (np.asanyarray(found.dataobj) == mask).all()
    assert np.allclose(found.affine, volume.affine, atol=1e-4)


def test_an_image_in_another_axis_order_is_the_same_mask(
    volume: Any, folder: Path, tmp_path: Path
) -> None:
    mask = (volume.array > 2000).astype(np.uint8)
    image = nib.Nifti1Image(mask, volume.affine)
    turned = image.as_reoriented([[2, -1], [0, 1], [1, -1]])
    found = back(volume.to_seg(turned, [Label(1, "Liver")]), folder, tmp_path)
    assert (np.asanyarray(found.dataobj) == mask).all()
    moved = volume.affine.copy()
    moved[0, 3] += 2
    with pytest.raises(ResultError, match="grid-mismatch"):
        volume.to_seg(nib.Nifti1Image(mask, moved))


def test_structures_maps_and_images(volume: Any) -> None:
    mask = (volume.array > 2000).astype(np.uint8)
    structures = volume.to_rtstruct(mask, [{"value": 1, "name": "Liver"}])
    assert structures.StructureSetROISequence[0].ROIName == "Liver"
    values = volume.to_map(volume.array / 7.0, "mm2/s")
    assert values.NumberOfFrames == 6
    series = volume.to_image(volume.array * 2.0)
    assert len(series) == 6
    assert {one.StudyInstanceUID for one in series} == {PHANTOM.instance(0).StudyInstanceUID}
    with pytest.raises(ResultError, match="wrong-dimensions"):
        volume.to_map(volume.array[0])


def test_without_its_dicom_files_there_is_no_result(folder: Path) -> None:
    opened = open_volume(folder / "nifti/one.nii")
    with pytest.raises(ResultError, match="not at hand"):
        opened.to_seg(np.ones(opened.array.shape, np.uint8))
