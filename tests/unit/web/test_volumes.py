"""The viewer shows the right voxels, the right way round."""

from __future__ import annotations

import io
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from node.web.volumes import NotViewable, VolumeCache, read_volume

AFFINE = np.array([[2.0, 0, 0, -10], [0, 3.0, 0, -20], [0, 0, 4.0, -30], [0, 0, 0, 1]])


def written(folder: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    path = folder / "volume.nii.gz"
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


@pytest.fixture
def marked(tmp_path: Path):
    """5 × 6 × 7 voxels, black but for the one that lies most right, anterior and superior."""
    array = np.zeros((5, 6, 7), np.int16)
    array[-1, -1, -1] = 100
    return read_volume(written(tmp_path, array))


@pytest.mark.parametrize(
    ("axis", "index", "size", "corner", "edges"),
    [
        (2, 6, (6, 5), (0, 0), "RLAP"),  # axial: right on the left side, front up
        (1, 5, (7, 5), (0, 0), "RLSI"),  # coronal: head up
        (0, 4, (7, 6), (0, 0), "APSI"),  # sagittal: nose to the left
    ],
)
def test_pictures_are_held_as_a_radiologist_does(marked, axis, index, size, corner, edges) -> None:
    picture = pixels(marked.picture(axis, index, 0, 0, 100))
    assert picture.shape == size
    assert picture[corner] == 255
    assert np.count_nonzero(picture) == 1
    found = marked.edges(axis)
    assert found["left"] + found["right"] + found["top"] + found["bottom"] == edges


def test_letters_come_from_the_affine(tmp_path: Path) -> None:
    flipped = AFFINE @ np.diag([-1.0, 1, 1, 1])
    volume = read_volume(written(tmp_path, np.zeros((3, 3, 3), np.uint8), flipped))
    assert volume.letters == ("L", "A", "S")
    assert volume.edges(2)["left"] == "L"


def test_scaled_values_and_places(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), AFFINE)
    image.header.set_slope_inter(0.5, -3)
    nibabel.save(image, tmp_path / "scaled.nii")
    again = nibabel.load(tmp_path / "scaled.nii")
    volume = read_volume(tmp_path / "scaled.nii")
    values, place = volume.voxel(1, 2, 3, 0)
    assert values == [again.get_fdata()[1, 2, 3]]
    assert place == [-8, -14, -18]


def test_four_dimensions(tmp_path: Path) -> None:
    array = np.zeros((3, 4, 5, 2), np.float32)
    array[..., 1] = 7
    volume = read_volume(written(tmp_path, array))
    assert volume.shape == (3, 4, 5, 2)
    assert not pixels(volume.picture(0, 0, 0, 0, 7)).any()
    assert (pixels(volume.picture(0, 0, 1, 0, 7)) == 255).all()


def test_colour(tmp_path: Path) -> None:
    array = np.zeros((2, 2, 2), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    array["G"][:] = 200
    volume = read_volume(written(tmp_path, array))
    assert volume.voxel(0, 0, 0, 0)[0] == [0, 200, 0]
    assert pixels(volume.picture(2, 0, 0, 0, 1))[0, 0].tolist() == [0, 200, 0]


def test_values_that_are_no_numbers_are_black(tmp_path: Path) -> None:
    array = np.full((2, 2, 2), np.nan, np.float32)
    volume = read_volume(written(tmp_path, array))
    assert not pixels(volume.picture(2, 0, 0, 0, 1)).any()
    assert volume.window("MR") == (0.0, 1.0)
    array[0, 0, 0] = np.inf
    array[1] = 5
    array[1, 0] = 9
    low, high = read_volume(written(tmp_path, array)).window("MR")
    assert 5 <= low < high <= 9


def test_windows(tmp_path: Path) -> None:
    array = np.zeros((10, 10, 10), np.int16)
    array[2:8] = np.arange(100).reshape(1, 10, 10) + 500
    volume = read_volume(written(tmp_path, array))
    low, high = volume.window("MR")
    assert low == 0
    assert 590 < high <= 600
    assert volume.window("CT") == (-160, 240)


@pytest.mark.parametrize("place", [(5, 0, 0, 0), (0, 0, 7, 0), (0, 0, 0, 1), (-1, 0, 0, 0)])
def test_there_is_no_such_voxel(marked, place) -> None:
    with pytest.raises(NotViewable):
        marked.voxel(*place)


@pytest.mark.parametrize("content", [b"", b"GIF89a" * 100, bytes(400)])
def test_what_is_no_volume_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.nii"
    path.write_bytes(content)
    with pytest.raises(NotViewable):
        read_volume(path)


def test_a_cut_off_volume_is_not_shown(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros((9, 9, 9), np.int16), AFFINE), tmp_path / "x.nii")
    whole = (tmp_path / "x.nii").read_bytes()
    (tmp_path / "x.nii").write_bytes(whole[:-1])
    with pytest.raises(NotViewable, match="too early"):
        read_volume(tmp_path / "x.nii")


def test_the_cache_sees_a_new_revision_and_keeps_within_its_limit(tmp_path: Path) -> None:
    cache = VolumeCache(limit=3000)
    path = written(tmp_path, np.zeros((10, 10, 10), np.int16))
    first = cache.get(path)
    assert cache.get(path) is first
    new = tmp_path / "new"
    new.mkdir()
    written(new, np.ones((10, 10, 10), np.int16)).replace(path)
    second = cache.get(path)
    assert second.voxel(0, 0, 0, 0)[0] == [1]
    assert len(cache._held) == 1
