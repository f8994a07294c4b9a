"""The viewer's process shows the right voxels, the right way round, from bounded copies."""

from __future__ import annotations

import io
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isal import igzip
from PIL import Image

from node.web.viewer import nifti
from node.web.viewer.copies import Copies, window
from node.web.viewer.messages import Asked, Geometry, NotNow, NotViewable
from tests.unit.web.conftest import viewer_of

AFFINE = np.array([[2.0, 0, 0, -10], [0, 3.0, 0, -20], [0, 0, 4.0, -30], [0, 0, 0, 1]])


class Shown:
    """A volume, as the viewer answers about it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ask = viewer_of(path.parent / "copies")

    @property
    def geometry(self) -> Geometry:
        found = self.ask(Asked(str(self.path), "geometry"))[0].geometry
        assert found is not None
        return found

    def picture(self, axis: int, index: int, time: int, low: float, high: float) -> np.ndarray:
        _, png = self.ask(Asked(str(self.path), "png", axis, index, time, low, high))
        return np.asarray(Image.open(io.BytesIO(png)))

    def values(self, axis: int, index: int, time: int = 0, *, packed: bool = False) -> bytes:
        return self.ask(Asked(str(self.path), "values", axis, index, time, packed=packed))[1]

    def voxel(self, i: int, j: int, k: int, time: int = 0) -> list[float | None]:
        return self.ask(Asked(str(self.path), "voxel", voxel=(i, j, k), time=time))[0].values


def written(folder: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    path = folder / "volume.nii.gz"
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return path


def shown(folder: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> Shown:
    return Shown(written(folder, array, affine))


@pytest.fixture
def marked(tmp_path: Path) -> Shown:
    """5 × 6 × 7 voxels, black but for the one that lies most right, anterior and superior."""
    array = np.zeros((5, 6, 7), np.int16)
    array[-1, -1, -1] = 100
    return shown(tmp_path, array)


@pytest.mark.parametrize(
    ("axis", "index", "size", "corner", "edges"),
    [
        (2, 6, (6, 5), (0, 0), "RLAP"),  # axial: right on the left side, front up
        (1, 5, (7, 5), (0, 0), "RLSI"),  # coronal: head up
        (0, 4, (7, 6), (0, 0), "APSI"),  # sagittal: nose to the left
    ],
)
def test_pictures_are_held_as_a_radiologist_does(marked, axis, index, size, corner, edges) -> None:
    picture = marked.picture(axis, index, 0, 0, 100)
    assert picture.shape == size
    assert picture[corner] == 255
    assert np.count_nonzero(picture) == 1
    found = marked.geometry.edges(axis)
    assert found["left"] + found["right"] + found["top"] + found["bottom"] == edges


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 70), st.integers(1, 70), st.integers(1, 12), st.integers(1, 3)),
    slab=st.sampled_from([1, 3000, 8 << 20]),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_slice_has_the_voxels_of_the_array(
    tmp_path_factory: pytest.TempPathFactory, shape, slab, seed
) -> None:
    """Whatever the size of blocks and of the parts that are read at once."""
    array = np.random.default_rng(seed).integers(-3000, 3000, shape, np.int16)
    made = shown(tmp_path_factory.mktemp("slices"), array)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("node.web.viewer.blocks._SLAB_BYTES", slab)
        assert made.geometry.shape == shape
    time = shape[3] - 1
    for axis in range(3):
        for index in {0, shape[axis] // 2, shape[axis] - 1}:
            plane = np.take(array[..., time], index, axis)[::-1, ::-1].T
            assert made.values(axis, index, time) == plane.astype("<i2").tobytes()
    last = tuple(count - 1 for count in shape[:3])
    assert made.voxel(*last, time) == [float(array[(*last, time)])]


def test_values_are_packed_for_who_accepts_it(marked: Shown) -> None:
    packed = marked.values(2, 6, packed=True)
    assert igzip.decompress(packed) == marked.values(2, 6)


@pytest.mark.parametrize(
    ("stored", "sent"),
    [("int8", "int8"), ("uint16", "uint16"), ("float32", "float32"), ("float64", "float64"),
     ("int64", "float64"), ("uint64", "float64")],
)  # fmt: skip
def test_values_come_as_numbers_that_a_browser_has(tmp_path: Path, stored, sent) -> None:
    array = np.arange(24, dtype=stored).reshape(2, 3, 4)
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(stored)
    nibabel.save(nibabel.Nifti1Image(array, AFFINE, header), tmp_path / "big-endian.nii")
    made = Shown(tmp_path / "big-endian.nii")
    got = np.frombuffer(made.values(2, 1), np.dtype(sent).newbyteorder("<")).reshape(3, 2)
    assert np.array_equal(got, array[::-1, ::-1, 1].T)


def test_letters_come_from_the_affine(tmp_path: Path) -> None:
    flipped = AFFINE @ np.diag([-1.0, 1, 1, 1])
    geometry = shown(tmp_path, np.zeros((3, 3, 3), np.uint8), flipped).geometry
    assert geometry.letters == ("L", "A", "S")
    assert geometry.edges(2)["left"] == "L"


def test_scaled_values(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), AFFINE)
    image.header.set_slope_inter(0.5, -3)
    nibabel.save(image, tmp_path / "scaled.nii")
    again = nibabel.load(tmp_path / "scaled.nii")
    made = Shown(tmp_path / "scaled.nii")
    assert made.voxel(1, 2, 3) == [again.get_fdata()[1, 2, 3]]
    assert (made.geometry.slope, made.geometry.intercept) == (0.5, -3)


def test_four_dimensions(tmp_path: Path) -> None:
    array = np.zeros((3, 4, 5, 2), np.float32)
    array[..., 1] = 7
    made = shown(tmp_path, array)
    assert made.geometry.shape == (3, 4, 5, 2)
    assert not made.picture(0, 0, 0, 0, 7).any()
    assert (made.picture(0, 0, 1, 0, 7) == 255).all()


def test_colour(tmp_path: Path) -> None:
    array = np.zeros((2, 2, 2), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    array["G"][:] = 200
    made = shown(tmp_path, array)
    assert made.voxel(0, 0, 0) == [0, 200, 0]
    assert made.picture(2, 0, 0, 0, 1)[0, 0].tolist() == [0, 200, 0]
    assert made.values(2, 0) == bytes([0, 200, 0] * 4)


def test_values_that_are_no_numbers_are_black(tmp_path: Path) -> None:
    made = shown(tmp_path, np.full((2, 2, 2), np.nan, np.float32))
    assert not made.picture(2, 0, 0, 0, 1).any()
    assert made.voxel(0, 0, 0) == [None]
    assert made.geometry.window == (0.0, 1.0)
    found = window(made.geometry, np.array([np.nan, np.inf, 5, 5, 9]))
    assert 5 <= found[0] < found[1] <= 9


def test_the_first_window_is_that_of_the_first_volume(tmp_path: Path) -> None:
    array = np.zeros((10, 10, 10), np.int16)
    array[2:8] = np.arange(100).reshape(1, 10, 10) + 500
    low, high = shown(tmp_path, np.stack([array, array * 9], axis=-1)).geometry.window
    assert low == 0
    assert 590 < high <= 600


@pytest.mark.parametrize("place", [(5, 0, 0, 0), (0, 0, 7, 0), (0, 0, 0, 1), (-1, 0, 0, 0)])
def test_there_is_no_such_voxel(marked: Shown, place) -> None:
    with pytest.raises(NotViewable):
        marked.voxel(*place)


@pytest.mark.parametrize("content", [b"", b"GIF89a" * 100, bytes(400)])
def test_what_is_no_volume_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.nii"
    path.write_bytes(content)
    with pytest.raises(NotViewable):
        _ = Shown(path).geometry


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
def test_a_cut_off_volume_is_not_shown(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(1).integers(0, 999, (20, 20, 20), np.int16)
    nibabel.save(nibabel.Nifti1Image(noise, AFFINE), tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[:-2000])
    with pytest.raises(NotViewable, match="too early"):
        _ = Shown(tmp_path / name).geometry
    assert not list((tmp_path / "copies").iterdir())


def test_a_slice_that_is_too_large_is_refused(
    marked: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nifti, "MOST_SLICE_BYTES", 59)
    with pytest.raises(NotViewable, match="5 × 6"):
        _ = marked.geometry


def test_copies_follow_the_file_and_stay_within_their_bound(tmp_path: Path) -> None:
    (tmp_path / "copies").mkdir()
    (tmp_path / "copies" / "of-an-earlier-process").write_bytes(bytes(9))
    copies = Copies(tmp_path / "copies", 0, most=3000)
    path = written(tmp_path, np.zeros((10, 10, 10), np.int16))
    first = copies.get(path)
    assert copies.get(path) is first
    (tmp_path / "new").mkdir()
    written(tmp_path / "new", np.ones((10, 10, 10), np.int16)).replace(path)
    second = copies.get(path)
    assert second is not first
    assert list((tmp_path / "copies").iterdir()) == [second.path]
    with pytest.raises(NotViewable, match="at most"):
        copies.get(written(tmp_path, np.ones((10, 10, 20), np.int16)))


def test_a_copy_leaves_the_disk_its_free_space(tmp_path: Path) -> None:
    path = written(tmp_path, np.zeros((10, 10, 10), np.int16))
    with pytest.raises(NotNow, match="no room"):
        Copies(tmp_path / "copies", minimum_free=1 << 60).get(path)
