"""NIfTI-2, which volumes get that are too long for NIfTI-1, and everything that reads it back."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

import node
from node.assemble.volumes.layers import cut
from node.assemble.volumes.nifti import header_bytes, image_of, make_header, scaled_image
from node.cli.commands import build
from node.convert import OutputOptions
from node.convert.writing import write_image
from node.web.viewer.blocks import read_plane
from node.web.viewer.copies import Copies
from tests.phantom import PET, Phantom, save

LONG = 32_768


@pytest.fixture
def second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every volume written as NIfTI-2."""
    monkeypatch.setattr("node.assemble.volumes.nifti.LONGEST", 1)


@pytest.mark.parametrize(("times", "magic"), [(LONG - 1, b"n+1"), (LONG, b"n+2")])
@pytest.mark.parametrize("compress", [True, False])
def test_what_nifti_1_cannot_count_is_nifti_2(
    tmp_path: Path, times: int, magic: bytes, compress: bool
) -> None:
    array = np.asfortranarray(np.arange(4 * times, dtype=np.uint16).reshape(2, 2, 1, times))
    header = make_header(array.shape, array.dtype, np.eye(4), repetition_time=2.0, slope=0.5)
    path = tmp_path / ("x.nii.gz" if compress else "x.nii")
    write_image(path, header, cut(array), OutputOptions(compress=compress))
    raw = gzip.decompress(path.read_bytes()) if compress else path.read_bytes()
    place = 4 if magic == b"n+2" else 344
    assert raw[place : place + 3] == magic
    image = nib.load(path)
    assert type(image) is (nib.Nifti2Image if magic == b"n+2" else nib.Nifti1Image)
    assert image.shape == array.shape
    assert (np.asanyarray(image.dataobj) == array * 0.5).all()
    assert image.header["pixdim"][4] == 2.0
    shown = Copies(tmp_path / "copies", 0).get(path)
    assert shown.geometry.shape == array.shape
    for time in (0, times - 1):
        plane = read_plane(shown.path, shown.layout, 2, 0, time)
        assert (plane == array[:, :, 0, time]).all()


def run(*words: object) -> str:
    found = [str(word) for word in words]
    done = CliRunner().invoke(build(), found)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.usefixtures("second")
@pytest.mark.parametrize("sop_class", [PET, "1.2.840.10008.5.1.4.1.1.4"])
def test_everything_reads_it_back(tmp_path: Path, sop_class: str) -> None:
    scaled = {"RescaleSlope": 0.5, "RescaleIntercept": 3}
    phantom = Phantom(volumes=2, sop_class=sop_class, attributes=scaled)
    save(phantom.instances(), tmp_path / "in")
    run("convert", "-z", "n", "-f", "x", tmp_path / "in", tmp_path)
    path = tmp_path / "x.nii"
    image = nib.load(path)
    assert isinstance(image, nib.Nifti2Image)
    loaded = node.load_dicom(tmp_path / "in")
    assert isinstance(loaded.nifti(), nib.Nifti2Image)
    assert (loaded.array == np.asanyarray(image.dataobj)).all()
    assert (loaded.affine == image.affine).all()
    nib.save(loaded.nifti(), tmp_path / "saved.nii")
    assert (tmp_path / "saved.nii").read_bytes() == path.read_bytes()
    found = json.loads(run("coords", path, "--ijk", "1,2,3", "--volume", "1", "--json"))
    assert found["value"] == image.dataobj[1, 2, 3, 1]
    assert found["source"]["sop_instance_uid"]
    run("resample", path, tmp_path / "y.nii.gz", "--like", path)
    again = nib.load(tmp_path / "y.nii.gz")
    assert isinstance(again, nib.Nifti2Image)
    assert np.allclose(np.asanyarray(again.dataobj), np.asanyarray(image.dataobj))
    shown = Copies(tmp_path / "copies", 0).get(path).geometry
    assert shown.shape == image.shape
    assert np.allclose(shown.affine, image.affine)


def test_an_image_in_memory_has_the_version_of_its_header() -> None:
    array = np.zeros((1, 1, 1, LONG), np.uint8, order="F")
    header = make_header(array.shape, array.dtype, np.eye(4), slope=2.0)
    assert isinstance(image_of(array, header), nib.Nifti2Image)
    assert isinstance(scaled_image(array, header), nib.Nifti2Image)
    assert len(header_bytes(header)) == 544
