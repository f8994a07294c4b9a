"""What Python gets is what the file says, bit for bit."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from node import load_dicom
from node.convert import OutputOptions, convert_series, read_folder
from tests.phantom import CT, Phantom, oblique, save

SCALES = [(1.0, 0.0), (2.5, -3.0), (1.0, -1024.0), (0.1, 0.3), (1 / 3, 7.7)]


def written(folder: Path, out: Path) -> Path:
    (series,) = read_folder([folder])[0]
    out.mkdir()
    convert_series(series.instances, out, "one", OutputOptions(compress=False))
    return out / "one.nii"


@pytest.mark.parametrize(("slope", "intercept"), SCALES)
def test_load_gives_what_nibabel_reads_from_the_file(
    tmp_path: Path, slope: float, intercept: float
) -> None:
    scale = {"RescaleSlope": f"{slope:.10g}", "RescaleIntercept": str(intercept)}
    phantom = Phantom(rotation=oblique((0.3, 0.2, 0.1)), sop_class=CT, attributes=scale)
    save(phantom.instances(), tmp_path / "in")
    path = written(tmp_path / "in", tmp_path / "out")
    expected = np.asanyarray(nib.load(path).dataobj)
    volume = load_dicom(tmp_path / "in")
    assert volume.array.dtype == expected.dtype
    assert volume.array.tobytes() == expected.tobytes()
    assert volume.affine.tobytes() == nib.load(path).affine.tobytes()


@pytest.mark.parametrize(("slope", "intercept"), SCALES)
def test_saving_the_image_gives_the_very_file(
    tmp_path: Path, slope: float, intercept: float
) -> None:
    scale = {"RescaleSlope": f"{slope:.10g}", "RescaleIntercept": str(intercept)}
    save(Phantom(sop_class=CT, attributes=scale).instances(), tmp_path / "in")
    path = written(tmp_path / "in", tmp_path / "out")
    nib.save(load_dicom(tmp_path / "in").nifti(), tmp_path / "saved.nii")
    assert (tmp_path / "saved.nii").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(("slope", "intercept"), SCALES)
def test_the_image_knows_its_affine(tmp_path: Path, slope: float, intercept: float) -> None:
    scale = {"RescaleSlope": f"{slope:.10g}", "RescaleIntercept": str(intercept)}
    save(Phantom(sop_class=CT, attributes=scale).instances(), tmp_path)
    volume = load_dicom(tmp_path)
    assert np.array_equal(volume.nifti().affine, volume.affine)


def test_a_scaled_image_can_be_saved_in_another_type(tmp_path: Path) -> None:
    scale = {"RescaleSlope": "2.5", "RescaleIntercept": "-3"}
    save(Phantom(sop_class=CT, attributes=scale).instances(), tmp_path / "in")
    volume = load_dicom(tmp_path / "in")
    nib.save(volume.nifti(), tmp_path / "float.nii", dtype=np.float64)
    assert (np.asanyarray(nib.load(tmp_path / "float.nii").dataobj) == volume.array).all()
