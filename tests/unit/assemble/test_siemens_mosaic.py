"""Mosaics: every voxel at its own place, whatever the evidence; without evidence refused."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from node import load_dicom
from node.assemble import space
from node.assemble.frames.model import FrameHeader
from node.assemble.series import VolumePlan, plan
from node.core.errors import Reason
from tests.phantom import Phantom, code, decimal, oblique, save
from tests.unit.assemble.build import changed, header, headers
from tests.unit.assemble.siemens_scans import CSA, Mosaic, centre, sheet
from tests.unit.assemble.weighted import PLANES

EVIDENCE = {
    "both": Mosaic(),
    "normal": Mosaic(planned=False),
    "protocol": Mosaic(normal=False),
    "protocol alone": Mosaic(normal=False, between=None),
    "older": Mosaic(older=True, planned=False),
    "without CSA": Mosaic(headerless=True),
}
OBLIQUE = oblique((0.2, -0.3, 0.5))


def one(datasets: list[Dataset]) -> VolumePlan:
    found = plan(headers(datasets))
    assert not found.refusals
    (volume,) = found.volumes
    return volume


def refusal(dataset: Dataset) -> str:
    problem = header(dataset).problem
    assert problem is not None
    assert problem.reason is Reason.MOSAIC_UNDECODABLE
    return problem.sentence


def tile(dataset: Dataset, frame: FrameHeader) -> np.ndarray:
    assert frame.tile is not None
    top, left = frame.tile
    pixels = np.frombuffer(dataset.PixelData, np.uint16).reshape(dataset.Rows, dataset.Columns)
    return pixels[top : top + frame.rows, left : left + frame.columns]


def check_voxels(phantom: Phantom, volume: VolumePlan, datasets: list[Dataset]) -> None:
    """Every voxel holds the code of the world position that the plan gives it."""
    columns, rows, _ = phantom.size
    row, column = np.mgrid[:rows, :columns]
    by_uid = {dataset.SOPInstanceUID: (t, dataset) for t, dataset in enumerate(datasets)}
    for expected, pieces in enumerate(volume.grid):
        for k, piece in enumerate(pieces):
            t, dataset = by_uid[piece.uid]
            voxels = np.stack([column, row, np.full_like(row, k)], axis=-1)
            world = voxels @ volume.lps[:3, :3].T + volume.lps[:3, 3]
            assert t == expected
            assert (tile(dataset, piece.frame) == code(world, t)).all()


@settings(deadline=None, max_examples=60)
@given(
    angles=st.tuples(*[st.floats(-3.1, 3.1)] * 3),
    size=st.tuples(st.integers(2, 7), st.integers(2, 6), st.integers(2, 17)),
    evidence=st.sampled_from(sorted(EVIDENCE)),
    reverse=st.booleans(),
    numbering=st.booleans(),
    shuffle=st.randoms(),
)
def test_every_voxel_is_at_its_own_place(
    angles: tuple[float, float, float],
    size: tuple[int, int, int],
    evidence: str,
    reverse: bool,
    numbering: bool,
    shuffle: random.Random,
) -> None:
    phantom = Phantom(rotation=oblique(angles), size=size, volumes=2)
    how = EVIDENCE[evidence].but(reverse=reverse, numbering=numbering)
    datasets = [sheet(phantom, how, t) for t in range(2)]
    shuffled = list(datasets)
    shuffle.shuffle(shuffled)
    volume = one(shuffled)
    assert np.allclose(volume.lps, phantom.affine, atol=1e-5)
    check_voxels(phantom, volume, datasets)


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]
)
def test_files_of_all_planes_and_encodings(
    plane: str, reverse: bool, syntax: str, tmp_path: Path
) -> None:
    phantom = Phantom(rotation=PLANES[plane], size=(6, 5, 5))
    dataset = sheet(phantom, Mosaic(reverse=reverse))
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = np.frombuffer(dataset.PixelData, np.uint16).byteswap().tobytes()
    save([dataset], tmp_path, syntax)
    volume = load_dicom(tmp_path)
    voxels = np.stack(np.indices(volume.array.shape), axis=-1).reshape(-1, 3)
    world = space.to_world(volume.affine, voxels) * [-1, -1, 1]
    assert (volume.array.reshape(-1) == code(world)).all()


def test_mosaics_are_ordered_by_their_number() -> None:
    """Acquisition Number and time may repeat; each mosaic is a whole volume."""
    phantom = Phantom(rotation=OBLIQUE, volumes=3)
    datasets = [sheet(phantom, Mosaic(), t) for t in range(3)]
    for dataset in datasets:
        del dataset.TemporalPositionIdentifier
        dataset.AcquisitionNumber = 1
    volume = one(datasets[::-1])
    check_voxels(phantom, volume, datasets)


def test_steps_of_the_protocol_count_where_none_is_stated() -> None:
    phantom = Phantom(rotation=OBLIQUE, spacing=(1.5, 2.0, 4.4))
    volume = one([sheet(phantom, Mosaic(between=None))])
    assert np.allclose(volume.lps, phantom.affine, atol=1e-5)


def test_slices_of_a_slab_lie_side_by_side() -> None:
    """The protocol of a 3D scan has its slabs only."""
    phantom = Phantom(rotation=OBLIQUE)
    how = Mosaic(reverse=True, between=None, settings={"sKSpace.ucDimension": "0x4"})
    assert np.allclose(one([sheet(phantom, how)]).lps, phantom.affine, atol=1e-5)


def test_motion_correction_moves_a_volume_off_the_protocol() -> None:
    """Its position counts, and the normal says the direction."""
    planned = Phantom(rotation=OBLIQUE)
    phantom = planned.but(origin=(-21.5, -33.0, 14.0))
    dataset = sheet(planned, Mosaic(reverse=True))
    moved = sheet(phantom, Mosaic(reverse=True))
    moved[0x00291020].value = dataset[0x00291020].value
    assert np.allclose(one([moved]).lps, phantom.affine, atol=1e-5)


def test_a_position_that_was_put_right_already() -> None:
    phantom = Phantom(rotation=OBLIQUE, size=(40, 32, 6))
    dataset = sheet(phantom, Mosaic())
    dataset.ImagePositionPatient = decimal(phantom.affine[:3, 3])
    assert np.allclose(one([dataset]).lps, phantom.affine, atol=1e-5)


def test_without_any_word_on_the_direction_it_is_refused() -> None:
    sentence = refusal(sheet(Phantom(), Mosaic(normal=False, planned=False)))
    assert "the side of the first slice" in sentence


def test_a_damaged_header_is_not_believed() -> None:
    dataset = sheet(Phantom(), Mosaic(planned=False))
    dataset[0x00291010].value = dataset[0x00291010].value[:300]
    assert "damaged" in refusal(dataset)


def test_without_its_private_elements_it_is_refused() -> None:
    dataset = sheet(Phantom(), Mosaic())
    dataset.remove_private_tags()
    assert "absent" in refusal(dataset)


def test_witnesses_that_contradict_each_other_are_not_believed() -> None:
    phantom = Phantom(rotation=OBLIQUE)
    dataset = sheet(phantom, Mosaic())
    dataset[0x00291020].value = sheet(phantom, Mosaic(reverse=True, numbering=False))[
        0x00291020
    ].value
    # the protocol's slices seen from the first tile lie on one side, the normal says the other
    dataset[0x00291010].value = sheet(phantom, Mosaic(reverse=True))[0x00291010].value
    assert "opposite" in refusal(dataset)


def test_a_normal_that_is_not_the_images_is_refused() -> None:
    phantom = Phantom(rotation=OBLIQUE)
    dataset = sheet(phantom, Mosaic(planned=False))
    other = phantom.but(rotation=OBLIQUE @ oblique((0.2, 0.0, 0.0)))
    dataset[0x00291010].value = sheet(other, Mosaic())[0x00291010].value
    assert "square" in refusal(dataset)


def test_a_step_that_contradicts_the_protocol_is_refused() -> None:
    assert "Spacing" in refusal(sheet(Phantom(), Mosaic(between=3.2)))


def test_a_rounded_step_gives_way_to_the_protocol() -> None:
    phantom = Phantom(rotation=OBLIQUE, spacing=(1.5, 2.0, 2.4 + 1 / 30), size=(3, 3, 60))
    volume = one([sheet(phantom, Mosaic(between=2.43))])
    assert np.allclose(volume.lps, phantom.affine, atol=1e-5)


def test_slices_of_groups_with_gaps_between_them_are_refused() -> None:
    """Several slice groups in one mosaic: equal steps would be wrong."""
    phantom = Phantom(rotation=OBLIQUE)
    far = {
        f"sSliceArray.asSlice[3].sPosition.{axis}": repr(value)
        for axis, value in zip(("dSag", "dCor", "dTra"), centre(phantom, 5).tolist(), strict=True)
    }
    assert "Spacing" in refusal(sheet(phantom, Mosaic(settings=far)))
    found = plan(headers([sheet(phantom, Mosaic(settings=far, between=None))]))
    assert [error.reason for error in found.refusals] == [Reason.MISSING_SLICE]


def test_slices_that_do_not_lie_behind_each_other_are_refused() -> None:
    phantom = Phantom()
    shifted = {"sSliceArray.asSlice[2].sPosition.dSag": repr(float(centre(phantom, 2)[0]) + 9.0)}
    assert "behind" in refusal(sheet(phantom, Mosaic(settings=shifted)))


def test_a_volume_that_was_turned_a_little_is_stacked_along_its_own_normal() -> None:
    """Motion correction turns all slices, the protocol keeps the directions that were planned."""
    planned = Phantom(rotation=OBLIQUE, size=(6, 5, 30))
    phantom = planned.but(rotation=OBLIQUE @ oblique((8e-4, 0.0, 0.0)))
    moved = sheet(phantom, Mosaic())
    moved[0x00291020].value = sheet(planned, Mosaic())[0x00291020].value
    assert np.allclose(one([moved]).lps, phantom.affine, atol=1e-4)


def test_neither_step_nor_protocol() -> None:
    assert "Spacing" in refusal(sheet(Phantom(), Mosaic(planned=False, between=None)))


def test_tiles_that_do_not_fill_the_sheet_are_refused() -> None:
    phantom = Phantom(size=(6, 5, 4))
    dataset = sheet(phantom, Mosaic(planned=False))
    dataset[0x00291010].value = sheet(phantom.but(size=(6, 5, 26)), Mosaic())[0x00291010].value
    assert "fit" in refusal(dataset)


@pytest.mark.parametrize("maker", ["SIEMENS", "Agfa", None])
@pytest.mark.parametrize("modality", ["MR", "OT", None])
def test_a_sheet_is_cut_or_refused_whoever_it_says_it_is_of(
    maker: str | None, modality: str | None
) -> None:
    phantom = Phantom(rotation=OBLIQUE)
    dataset = changed(sheet(phantom, Mosaic()), Manufacturer=maker, Modality=modality)
    assert np.allclose(one([dataset]).lps, phantom.affine, atol=1e-5)
    dataset.remove_private_tags()
    assert "absent" in refusal(dataset)


def test_an_ordinary_image_is_no_mosaic() -> None:
    dataset = Phantom().instance(0)
    dataset.Manufacturer = "SIEMENS"
    made = header(dataset)
    assert made.problem is None
    assert made.frames[0].tile is None


def test_the_block_may_be_anywhere() -> None:
    """A PACS may number private blocks anew (PS3.5 7.8.1)."""
    phantom = Phantom(rotation=OBLIQUE)
    dataset = sheet(phantom, Mosaic())
    values = [dataset[tag].value for tag in (0x00291010, 0x00291020)]
    dataset.remove_private_tags()
    dataset.private_block(0x29, "SIEMENS MEDCOM HEADER", create=True).add_new(0x10, "OB", b"ab")
    block = dataset.private_block(0x29, CSA, create=True)
    for low, value in zip((0x10, 0x20), values, strict=True):
        block.add_new(low, "OB", value)
    assert dataset[0x00291110].value == values[0]
    assert np.allclose(one([dataset]).lps, phantom.affine, atol=1e-5)


def test_a_header_names_itself_where_its_creator_was_stripped() -> None:
    phantom = Phantom(rotation=OBLIQUE)
    dataset = sheet(phantom, Mosaic(reverse=True))
    del dataset[0x00290010]
    assert np.allclose(one([dataset]).lps, phantom.affine, atol=1e-5)


ODD = st.sampled_from(["", "0", "-1", "1e30", "1e308", "x", "nan", "inf", "0x10", "9" * 30])
NAMES = ("NumberOfImagesInMosaic", "SliceNormalVector", "MosaicRefAcqTimes", "B_matrix", "B_value")
SETTINGS = ("lSize", "ucMode", "asSlice[0].sPosition.dTra", "asSlice[2].sNormal.dTra")


@settings(deadline=None, max_examples=60)
@given(
    st.dictionaries(st.sampled_from(NAMES), st.lists(ODD, max_size=6), max_size=3),
    st.dictionaries(st.sampled_from(SETTINGS), ODD, max_size=2),
)
def test_odd_numbers_are_described_or_refused(
    tags: dict[str, list[str]], changes: dict[str, str]
) -> None:
    image = {name: ("FD", values) for name, values in tags.items()}
    how = Mosaic(image=image, settings={f"sSliceArray.{key}": changes[key] for key in changes})
    found = plan(headers([sheet(Phantom(rotation=OBLIQUE), how)]))
    assert len(found.volumes) + len(found.refusals) > 0
    for volume in found.volumes:
        assert np.isfinite(volume.affine).all()
