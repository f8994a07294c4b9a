"""Slopes and intercepts that say nothing, say too little, or that float32 cannot hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from node.assemble.frames.model import PixelFormat
from node.assemble.pixels.voxel_values import choose
from node.convert import OutputOptions, convert_series, read_folder
from node.convert.series import Conversion
from node.core.errors import AssemblyError, Reason
from tests.phantom import CT, MR, PET, Phantom, code, save
from tests.unit.assemble.build import header
from tests.unit.assemble.test_labels import dose
from tests.unit.assemble.test_parametric import parametric
from tests.unit.assemble.test_pixels import like, piece

SLOPE, INTERCEPT = 0x00281053, 0x00281052
GARBAGE = ["0,5", "NaN", "inf", "1e400", "one", "0.5\\2"]


def written(dataset: Dataset, tag: int, text: str) -> None:
    """Set a decimal string, whatever is in it."""
    raw = text.encode() + b" " * (len(text) % 2)
    dataset[tag] = RawDataElement(Tag(tag), "DS", len(raw), raw, 0, False, True)


def series(sop_class: str, slope: object, intercept: object = "0") -> list[Dataset]:
    made = Phantom(sop_class=sop_class).instances()
    for one in made:
        for tag, value in ((SLOPE, slope), (INTERCEPT, intercept)):
            if value is not None:
                written(one, tag, str(value))
    return made


def converted(made: list[Dataset], folder: Path, **options: Any) -> Conversion:
    save(made, folder / "in")
    (found,) = read_folder([folder / "in"])[0]
    return convert_series(found.instances, folder, "v", OutputOptions(compress=False, **options))


def refusal(made: list[Dataset], folder: Path) -> AssemblyError:
    result = converted(made, folder)
    assert not result.products
    (error,) = result.refusals
    assert error.reason is Reason.UNREADABLE_SCALE
    return error


def voxels(folder: Path) -> np.ndarray:
    """(k, row, column) as in the phantom."""
    image: Any = nib.load(folder / "v.nii")
    return np.swapaxes(np.asarray(image.dataobj, np.float64)[::-1, ::-1], 0, 2)


def stored(sop_class: str = CT) -> np.ndarray:
    phantom = Phantom(sop_class=sop_class)
    return np.stack([code(phantom.positions(k)) for k in range(4)]).astype(float)


@pytest.mark.parametrize("text", GARBAGE)
@pytest.mark.parametrize("tag", [SLOPE, INTERCEPT])
def test_what_is_no_number_is_not_its_default(tag: int, text: str, tmp_path: Path) -> None:
    made = series(CT, "2", "-5")
    written(made[1], tag, text)
    error = refusal(made, tmp_path)
    assert error.instances == (made[1].SOPInstanceUID,)
    assert "1 of 4 images" in error.sentence


@pytest.mark.parametrize("text", ["2", " 2.0 ", "2\\2", "+2E0"])
def test_numbers_are_numbers(text: str, tmp_path: Path) -> None:
    assert not converted(series(CT, text, ""), tmp_path).refusals
    assert np.array_equal(voxels(tmp_path), stored() * 2)


def test_one_image_without_the_slope_of_the_others(tmp_path: Path) -> None:
    made = series(MR, "0.25")
    del made[2][SLOPE], made[2][INTERCEPT]
    assert refusal(made, tmp_path).instances == (made[2].SOPInstanceUID,)


def test_a_slope_that_others_say_is_one_may_lack(tmp_path: Path) -> None:
    made = series(MR, "1")
    del made[2][SLOPE], made[2][INTERCEPT]
    assert not converted(made, tmp_path).refusals
    assert np.array_equal(voxels(tmp_path), stored())


@pytest.mark.parametrize("intercept", ["-1024", "0"])
def test_one_image_without_the_intercept_of_the_others(intercept: str, tmp_path: Path) -> None:
    made = series(CT, "1", intercept)
    del made[2][INTERCEPT]
    if intercept != "0":
        assert refusal(made, tmp_path).instances == (made[2].SOPInstanceUID,)
        return
    assert not converted(made, tmp_path).refusals
    assert np.array_equal(voxels(tmp_path), stored())


def test_one_image_without_the_intercept_of_others_that_have_no_slope_either(
    tmp_path: Path,
) -> None:
    made = series(CT, None, "-1024")
    del made[2][INTERCEPT]
    assert refusal(made, tmp_path).instances == (made[2].SOPInstanceUID,)


@pytest.mark.parametrize(("slope", "fits"), [("1", True), ("2", False)])
def test_a_table_and_a_slope_exclude_each_other(slope: str, fits: bool, tmp_path: Path) -> None:
    made = series(CT, slope)
    for one in made:
        item = Dataset()
        item.add_new(0x00283002, "US", [4096, 0, 16])
        item.add_new(0x00283006, "OW", np.arange(4096, dtype="<u2").tobytes())
        one.ModalityLUTSequence = [item]
    if fits:
        assert not converted(made, tmp_path).refusals
        np.testing.assert_array_equal(voxels(tmp_path), stored())
    else:
        assert "(0028,3000)" in refusal(made, tmp_path).sentence


@pytest.mark.parametrize("slope", [None, ""])
def test_pet_has_no_values_without_a_slope(slope: str | None, tmp_path: Path) -> None:
    assert "all 4 images" in refusal(series(PET, slope, None), tmp_path).sentence


def test_others_need_no_slope(tmp_path: Path) -> None:
    assert not converted(series(MR, None, None), tmp_path).refusals
    assert np.array_equal(voxels(tmp_path), stored())


@pytest.mark.parametrize("which", [slice(None), slice(2, 3)])
@pytest.mark.parametrize("intercept", ["0", "-1024"])
def test_a_slope_of_zero(which: slice, intercept: str, tmp_path: Path) -> None:
    made = series(CT, "0.25", intercept)
    for one in made[which]:
        written(one, SLOPE, "0")
    refusal(made, tmp_path / "full")
    for one in made[which]:
        one.PixelData = bytes(len(one.PixelData))
    assert not converted(made, tmp_path / "empty").refusals
    truth = stored() * 0.25
    truth[which] = 0
    assert np.array_equal(voxels(tmp_path / "empty"), truth + float(intercept))


@pytest.mark.parametrize(
    ("slope", "intercept"),
    [("1e-46", "0"), ("1e39", "0"), ("1", "12345678901.5"), ("0.001", "-1000000.1")],
)
def test_what_float32_cannot_hold_is_in_the_voxels(
    slope: str, intercept: str, tmp_path: Path
) -> None:
    assert not converted(series(CT, slope, intercept), tmp_path).refusals
    image: Any = nib.load(tmp_path / "v.nii")
    assert image.get_data_dtype().itemsize == 8
    assert np.array_equal(voxels(tmp_path), stored() * float(slope) + float(intercept))


def test_a_whole_shift_that_float32_rounds_stays_whole(tmp_path: Path) -> None:
    assert not converted(series(CT, "1", "16777217"), tmp_path).refusals
    image: Any = nib.load(tmp_path / "v.nii")
    assert image.get_data_dtype().kind in "iu"
    assert np.array_equal(voxels(tmp_path), stored() + 16777217)


@pytest.mark.parametrize(
    ("slope", "intercept"), [("1e306", "0"), ("1e-310", "0"), ("1", "1e20"), ("1e-7", "9999999999")]
)
def test_what_no_float_holds_is_refused(slope: str, intercept: str, tmp_path: Path) -> None:
    refusal(series(CT, slope, intercept), tmp_path)


@pytest.mark.parametrize(
    ("pixels", "slope", "dtype", "scaled"),
    [
        (like(bits_stored=16), 1e-40, "f8", True),
        (like(bits_allocated=32, bits_stored=32), 0.1, "f8", True),
        (like(bits_allocated=32, bits_stored=32), 0.5, "u4", False),
        (like(kind="float", bits_allocated=32, bits_stored=32), 0.5, "f4", True),
        (like(kind="float", bits_allocated=32, bits_stored=32), 1e-46, "f8", True),
    ],
)
def test_types_for_scales(pixels: PixelFormat, slope: float, dtype: str, scaled: bool) -> None:
    values = choose([piece(pixels, slope)])
    assert (values.dtype, values.scaled) == (np.dtype(dtype), scaled)


@pytest.mark.parametrize("text", GARBAGE)
def test_the_scaling_of_a_dose(text: str, tmp_path: Path) -> None:
    made = dose([0, 3, 6])
    written(made, 0x3004000E, text)
    refusal([made], tmp_path)


def test_a_dose_takes_no_harm_from_a_rescale_slope(tmp_path: Path) -> None:
    made = dose([0, 3, 6])
    written(made, SLOPE, "0,5")
    assert not converted([made], tmp_path).refusals


@pytest.mark.parametrize("slope", [float("nan"), float("inf"), 0.0])
def test_the_real_world_slope_of_a_map(slope: float, tmp_path: Path) -> None:
    made = parametric("u2")
    for groups in (made.SharedFunctionalGroupsSequence, made.PerFrameFunctionalGroupsSequence):
        for group in groups:
            for item in group.get("RealWorldValueMappingSequence", Sequence()):
                item.RealWorldValueSlope = slope
    refusal([made], tmp_path)


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), 0.0, None])
def test_philips_precise_scale(scale: float | None, tmp_path: Path) -> None:
    made = series(MR, "2.5", "-10")
    for k, one in enumerate(made):
        one.Manufacturer = "Philips Medical Systems"
        block = one.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
        if k != 1:
            block.add_new(0x0E, "FL", 0.5)
        elif scale is not None:
            block.add_new(0x0E, "FL", scale)
    assert refusal(made, tmp_path / "precise").instances == (made[1].SOPInstanceUID,)
    assert not converted(made, tmp_path / "shown", precise=False).refusals
    assert np.array_equal(voxels(tmp_path / "shown"), stored(MR) * 2.5 - 10)


def test_a_scale_is_known_when_the_header_is_read() -> None:
    one = series(CT, "0,5")[0]
    assert header(one).frames[0].scale == "unreadable"
    assert header(series(CT, None, None)[0]).frames[0].scale == "absent"
    assert not header(series(CT, "0.5")[0]).frames[0].scale
