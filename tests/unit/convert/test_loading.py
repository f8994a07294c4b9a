"""What programs load, from wherever it is, and what a volume tells them."""

from __future__ import annotations

import gc
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from node import AssemblyError, load_all, load_dicom, open_volume, space
from node.convert import OutputOptions, convert_series, read_folder
from node.convert.loading import zipped
from node.storage.archive import shard_of
from tests.phantom import CT, Phantom, oblique, save

TURNED = Phantom(rotation=oblique((0.3, -0.2, 0.4)), sop_class=CT)
DIRECTORY = "1.2.840.10008.1.3.10"


def written(phantom: Phantom, folder: Path) -> Path:
    (series,) = read_folder([folder])[0]
    out = folder.parent / "nifti"
    out.mkdir()
    convert_series(series.instances, out, "one", OutputOptions(compress=False))
    return out / "one.nii"


def directory(folder: Path, names: list[list[str]]) -> Path:
    """A DICOMDIR with an image record for each name."""
    made = Dataset()
    made.FileSetID = "TEST"
    records = []
    for name in names:
        record = Dataset()
        record.RecordInUseFlag = 0xFFFF
        record.DirectoryRecordType = "IMAGE"
        record.add_new(0x00041500, "LO", name)  # any text, as damaged media have it
        record["ReferencedFileID"].VR = "CS"
        records.append(record)
    made.DirectoryRecordSequence = records
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = DIRECTORY
    made.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    made.save_as(folder / "DICOMDIR", enforce_file_format=True)
    return folder / "DICOMDIR"


def zip_of(folder: Path, *, name: str = "a.zip", prefix: str = "") -> Path:
    path = folder.parent / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in sorted(folder.iterdir()):
            archive.write(one, prefix + one.name)
    return path


def same(one: Any, other: Any) -> bool:
    return bool((one.array == other.array).all() and (one.affine == other.affine).all())


def refused(call: Any, *given: Any) -> str:
    with pytest.raises(AssemblyError) as caught:
        call(*given)
    return str(caught.value.reason)


# ------------------------------------------------------------------ what a volume tells
def test_every_voxel_leads_to_its_source(tmp_path: Path) -> None:
    save(TURNED.instances(), tmp_path / "in")
    volume = load_dicom(tmp_path / "in")
    mapping = volume.voxel_to_source
    assert mapping is not None
    axis = "ijk".index(volume.manifest["slice_axis"])
    by_k = {one["k"]: one["sop_instance_uid"] for one in volume.sources}
    for voxel in [(0, 0, 0), (3, 2, 1), tuple(size - 1 for size in volume.array.shape)]:
        column, row, _ = np.rint(space.to_world(mapping, voxel)).astype(int)
        uid = by_k[voxel[axis]]
        (k,) = (k for k in range(4) if TURNED.instance(k).SOPInstanceUID == uid)
        pixels = np.frombuffer(TURNED.instance(k).PixelData, np.uint16).reshape(5, 6)
        assert volume.array[voxel] == pixels[row, column]
        lps = space.to_world(volume.lps_affine, voxel)
        assert np.allclose(lps, TURNED.positions(k)[row, column], atol=1e-3)
    assert len(volume.instances) == 4
    assert all(path.is_file() for path in volume.instances)


def test_a_written_volume_is_the_loaded_one(tmp_path: Path) -> None:
    save(TURNED.instances(), tmp_path / "in")
    path = written(TURNED, tmp_path / "in")
    opened, loaded = open_volume(path), load_dicom(tmp_path / "in")
    assert same(opened, loaded)
    assert opened.sources == loaded.sources
    assert np.array_equal(opened.voxel_to_source, loaded.voxel_to_source)
    assert opened.series_instance_uid == TURNED.series
    assert opened.residual_mm == loaded.residual_mm
    assert opened.instances == ()
    assert open_volume(path, tmp_path / "in").instances == loaded.instances


def test_instances_are_found_in_the_archive_of_the_node(tmp_path: Path) -> None:
    made = TURNED.instances()
    paths = save(made, tmp_path / "in")
    path = written(TURNED, tmp_path / "in")
    study = made[0].StudyInstanceUID
    folder = tmp_path / "archive" / shard_of(study) / study / TURNED.series
    folder.mkdir(parents=True)
    for one, source in zip(made, paths, strict=True):
        source.rename(folder / f"{one.SOPInstanceUID}.dcm")
    assert {one.parent for one in open_volume(path).instances} == {folder}
    assert len(open_volume(path).instances) == 4


def test_an_image_that_is_not_its_manifests_is_refused(tmp_path: Path) -> None:
    save(TURNED.instances(), tmp_path / "in")
    path = written(TURNED, tmp_path / "in")
    image = nib.load(path)
    other = nib.Nifti1Image(np.asanyarray(image.dataobj) + 1, image.affine)
    nib.save(other, path)
    assert refused(open_volume, path) == "output-damaged"
    moved = image.affine.copy()
    moved[0, 3] += 1
    nib.save(nib.Nifti1Image(np.asanyarray(other.dataobj), moved), path)
    with pytest.raises(AssemblyError, match="another shape or affine"):
        open_volume(path, verify=False)
    path.with_name("one.manifest.json").unlink()
    with pytest.raises(FileNotFoundError):
        open_volume(path)


# ------------------------------------------------------------------ what is there to load
def test_several_volumes_have_a_refusal_of_their_own(tmp_path: Path) -> None:
    save(TURNED.instances(), tmp_path / "1")
    save(TURNED.but(series="1.2.3").instances(), tmp_path / "2")
    assert refused(load_dicom, tmp_path) == "several-volumes"
    assert len(load_all(tmp_path)) == 2


@pytest.mark.parametrize("load", [load_dicom, load_all])
def test_a_folder_without_images_is_refused(tmp_path: Path, load: Any) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    assert refused(load, tmp_path) == "not-an-image"


def test_patterns(tmp_path: Path) -> None:
    save(TURNED.instances(), tmp_path / "a" / "b")
    expected = load_dicom(tmp_path / "a")
    assert same(load_dicom(f"{tmp_path}/a/b/*.dcm"), expected)
    assert same(load_dicom(f"{tmp_path}/**/0000?.dcm"), expected)
    for name in (f"{tmp_path}/a/*.nothing", tmp_path / "absent"):
        with pytest.raises(FileNotFoundError):
            load_dicom(name)


# ------------------------------------------------------------------ DICOMDIR
def test_a_dicomdir_names_its_files_in_any_case(tmp_path: Path) -> None:
    paths = save(TURNED.instances(), tmp_path / "images")
    save(TURNED.but(series="1.2.3").instances(), tmp_path / "more")
    names = [["IMAGES", path.name.upper()] for path in paths]
    volume = load_dicom(directory(tmp_path, names))
    assert volume.series_instance_uid == TURNED.series
    assert volume.instances == load_dicom(tmp_path / "images").instances


def test_a_dicomdir_without_its_files_is_no_volume(tmp_path: Path) -> None:
    paths = save(TURNED.instances(), tmp_path / "images")
    names = [["images", path.name] for path in paths]
    paths[-1].unlink()
    with pytest.raises(FileNotFoundError, match="1 of the 4 files"):
        load_dicom(directory(tmp_path, names))


@pytest.mark.parametrize("name", [["..", "secret"], ["images/../../secret"], ["/etc/passwd"]])
def test_a_dicomdir_names_nothing_elsewhere(tmp_path: Path, name: list[str]) -> None:
    (tmp_path / "cd").mkdir()
    save(TURNED.instances(), tmp_path)[0].rename(tmp_path / "secret")
    assert refused(load_dicom, directory(tmp_path / "cd", [name])) == "dicomdir-unreadable"


# ------------------------------------------------------------------ ZIP
def test_a_zip_file_is_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipped.tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    save(TURNED.instances(), tmp_path / "in")
    packed = zip_of(tmp_path / "in", prefix="../../../etc/")
    volume = load_dicom(packed)
    assert same(volume, load_dicom(tmp_path / "in"))
    assert all(path.is_file() for path in volume.instances)
    assert not (tmp_path.parent / "etc").exists()
    (folder,) = (tmp_path / "tmp").iterdir()
    assert {path.parent for path in volume.instances} == {folder}
    del volume
    gc.collect()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipped, "ALWAYS_BYTES", 1 << 20)
    monkeypatch.setattr(zipped.tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("big", bytes(10 << 20))
    assert refused(load_dicom, tmp_path / "a.zip") == "zip-too-large"
    monkeypatch.setattr(zipped, "MOST_FOLD", 10_000)
    assert refused(load_dicom, tmp_path / "a.zip") == "not-an-image"
    monkeypatch.setattr(zipped, "SPARED_BYTES", 1 << 60)
    assert refused(load_dicom, tmp_path / "a.zip") == "zip-too-large"
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_damaged_zip_file_is_refused(tmp_path: Path) -> None:
    save(TURNED.instances(), tmp_path / "in")
    packed = zip_of(tmp_path / "in")
    data = packed.read_bytes()
    packed.write_bytes(data[: len(data) // 2])
    assert refused(load_dicom, packed) == "zip-unreadable"
    broken = bytearray(data)
    broken[200:300] = bytes(100)
    packed.write_bytes(broken)
    assert refused(load_dicom, packed) == "zip-unreadable"


# ------------------------------------------------------------------ other libraries
def test_what_is_not_installed_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(TURNED.instances(), tmp_path)
    volume = load_dicom(tmp_path)
    for module in ("SimpleITK", "torch"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"rasnode\[sitk\]"):
        volume.sitk()
    with pytest.raises(ImportError, match=r"rasnode\[torch\]"):
        volume.tensor()


@pytest.mark.parametrize("volumes", [1, 3])
def test_simpleitk_has_every_voxel_at_its_place(tmp_path: Path, volumes: int) -> None:
    pytest.importorskip("SimpleITK", reason="SimpleITK (rasnode[sitk]) is not installed")
    save(TURNED.but(volumes=volumes).instances(), tmp_path)
    volume = load_dicom(tmp_path)
    image = volume.sitk()
    assert image.GetSize() == volume.array.shape
    for voxel in [(0, 0, 0), (1, 2, 3), (5, 4, 0)]:
        if all(v < size for v, size in zip(voxel, volume.array.shape, strict=False)):
            at = voxel if volumes == 1 else (*voxel, 1)
            assert image[at] == volume.array[at]
            point = image.TransformIndexToPhysicalPoint(at)[:3]
            assert np.allclose(point, space.to_world(volume.lps_affine, voxel), atol=1e-4)


@pytest.mark.parametrize("volumes", [1, 3])
def test_tensors_have_their_channel_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, volumes: int
) -> None:
    """Arrays stand for tensors: torch is large, and what is handed to it is what counts."""
    save(TURNED.but(volumes=volumes).instances(), tmp_path)
    volume = load_dicom(tmp_path)
    expected = volume.array[np.newaxis] if volumes == 1 else np.moveaxis(volume.array, 3, 0)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(from_numpy=np.asarray))  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "monai.data", None)  # type: ignore[arg-type]
    tensor = volume.tensor()
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous
    assert (tensor == expected).all()
    known = SimpleNamespace(MetaTensor=lambda x, affine, meta: (x, affine, meta))
    monkeypatch.setitem(sys.modules, "monai.data", known)  # type: ignore[arg-type]
    tensor, affine, meta = volume.tensor()
    assert (tensor == expected).all()
    assert (affine == volume.affine).all()
    assert meta == {"space": "RAS"}
