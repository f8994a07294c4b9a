"""Headers to volumes: geometry right at any angle, every doubt refused by name."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from node.assemble import space
from node.assemble.series import SeriesPlan, VolumePlan, plan
from node.core.errors import Reason
from tests.phantom import CT, Phantom, oblique
from tests.unit.assemble.build import changed, headers

angles = st.tuples(*[st.floats(-3.1, 3.1)] * 3)


def one(result: SeriesPlan) -> VolumePlan:
    assert not result.refusals
    (volume,) = result.volumes
    return volume


def reasons(result: SeriesPlan) -> list[Reason]:
    return [error.reason for error in result.refusals]


@settings(deadline=None, max_examples=60)
@given(angles, st.randoms(), st.floats(-2, 2))
def test_every_slice_is_at_its_own_place(
    turned: tuple[float, float, float], shuffle: random.Random, shear: float
) -> None:
    phantom = Phantom(rotation=oblique(turned), shear=shear)
    datasets = phantom.instances()
    shuffle.shuffle(datasets)
    volume = one(plan(headers(datasets)))
    for k, piece in enumerate(volume.grid[0]):
        position = volume.lps @ [0, 0, k, 1]
        assert piece.frame.position == pytest.approx(position[:3].tolist(), abs=1e-6)
    assert volume.residual_mm < 1e-6
    # the array as written: its voxel maps to the world point of the source voxel
    source = np.array([[0, 0, 0], [5, 0, 0], [0, 4, 0], [0, 0, 3], [5, 4, 3]])
    world = space.to_world(space.lps_to_ras(volume.lps), source)
    voxels = space.to_voxel(volume.affine, world)
    assert np.allclose(voxels, np.rint(voxels), atol=1e-6)
    assert (voxels > -1e-6).all()
    assert (voxels < np.array(volume.shape[:3]) - 1 + 1e-6).all()


@settings(deadline=None, max_examples=30)
@given(st.randoms(), st.integers(1, 3))
def test_any_order_of_headers_gives_the_same_plan(shuffle: random.Random, volumes: int) -> None:
    found = headers(Phantom(rotation=oblique((0.2, 0.1, 0.4)), volumes=volumes).instances())
    expected = one(plan(found))
    shuffle.shuffle(found)
    again = one(plan(found))
    assert again.grid == expected.grid
    assert again.affine.tobytes() == expected.affine.tobytes()


@settings(deadline=None, max_examples=30)
@given(st.randoms())
def test_any_order_gives_the_same_refusals_and_names(shuffle: random.Random) -> None:
    datasets: list[Dataset] = []
    for number, turned in enumerate([(0, 0, 0), (np.pi / 2, 0, 0), (0, np.pi / 2, 0)]):
        for dataset in Phantom(rotation=oblique(turned)).instances():
            dataset.SOPInstanceUID += f".{number}"
            datasets.append(changed(dataset, InstanceNumber=None))
    for dataset in Phantom().instances():
        dataset.SOPInstanceUID += ".9"
        datasets.append(changed(dataset, ImagePositionPatient=None))
    found = headers(datasets)
    expected = plan(found)
    shuffle.shuffle(found)
    again = plan(found)
    assert [error.instances for error in again.refusals] == [
        error.instances for error in expected.refusals
    ]
    assert [(v.suffix, v.grid) for v in again.volumes] == [
        (v.suffix, v.grid) for v in expected.volumes
    ]


def test_rounded_positions_average_over_the_whole_stack() -> None:
    phantom = Phantom(size=(4, 4, 11), spacing=(1, 1, 2))
    datasets = phantom.instances()
    for k, dataset in enumerate(datasets[1:-1], 1):
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y, z + (5e-5 if k % 2 else -1e-4)]
    volume = one(plan(headers(datasets)))
    assert np.allclose(volume.lps, phantom.affine, atol=1e-9)
    assert volume.residual_mm == pytest.approx(1e-4, rel=1e-3)


def test_single_slice_takes_its_extent_from_the_header() -> None:
    volume = one(plan(headers(Phantom(size=(6, 5, 1)).instances())))
    assert volume.shape == (6, 5, 1)
    assert space.voxel_sizes(volume.affine) == pytest.approx((1.5, 2.0, 3.0))


def test_three_orientations_become_three_volumes() -> None:
    datasets: list[Dataset] = []
    for number, turned in enumerate([(0, 0, 0), (np.pi / 2, 0, 0), (0, np.pi / 2, 0)]):
        made = Phantom(rotation=oblique(turned)).instances()
        for dataset in made:
            dataset.SOPInstanceUID += f".{number}"
            dataset.InstanceNumber += number * 100
        datasets += made
    result = plan(headers(datasets))
    assert not result.refusals
    assert [volume.suffix for volume in result.volumes] == ["", "a", "b"]


def test_echoes_and_phase_have_dcm2niix_suffixes() -> None:
    datasets: list[Dataset] = []
    for echo, kind in ((1, "M"), (2, "M"), (2, "P")):
        for dataset in Phantom().instances():
            dataset.SOPInstanceUID += f".{echo}{ord(kind)}"
            dataset.ImageType = ["ORIGINAL", "PRIMARY", kind]
            datasets.append(changed(dataset, EchoNumbers=echo, EchoTime=echo * 5))
    result = plan(headers(datasets))
    assert [volume.suffix for volume in result.volumes] == ["_e1", "_e2", "_e2_ph"]


# ------------------------------------------------------------------ the 4th axis
def order_of(volume: VolumePlan) -> list[list[int | None]]:
    return [[piece.frame.number for piece in row] for row in volume.grid]


def test_flip_angles_are_images_of_their_own() -> None:
    """As of variable flip angles; differences by rounding are none."""
    datasets = Phantom(volumes=3).instances()
    for dataset in datasets:
        dataset.FlipAngle = (5, 5.01, 15)[dataset.TemporalPositionIdentifier - 1]
    found = plan(headers(datasets)).volumes
    assert [(volume.suffix, volume.shape[3:]) for volume in found] == [("", (2,)), ("a", ())]


def test_temporal_position_orders_volumes_whatever_the_numbers_say() -> None:
    datasets = Phantom(volumes=3).instances()
    for dataset in datasets:
        dataset.InstanceNumber = 1000 - dataset.InstanceNumber
    volume = one(plan(headers(datasets)))
    assert volume.shape == (6, 5, 4, 3)
    assert volume.defined_by == "Temporal Position"
    assert [row[0].frame.temporal for row in volume.grid] == [1, 2, 3]


@pytest.mark.parametrize("by_position", [False, True])
def test_instance_numbers_order_volumes_by_volume_or_by_position(by_position: bool) -> None:
    datasets = Phantom(volumes=3).instances()
    for index, dataset in enumerate(datasets):
        t, k = divmod(index, 4)
        changed(dataset, TemporalPositionIdentifier=None)
        if by_position:
            dataset.InstanceNumber = k * 3 + t + 1
    volume = one(plan(headers(datasets)))
    assert volume.defined_by == "Instance Number"
    step = 3 if by_position else 1
    begin = 1 if by_position else 4
    assert order_of(volume) == [[t * begin + k * step + 1 for k in range(4)] for t in range(3)]


def test_numbers_in_no_order_are_ambiguous() -> None:
    datasets = Phantom(volumes=3).instances()
    numbers = random.Random(3).sample(range(12), 12)
    for dataset, number in zip(datasets, numbers, strict=True):
        changed(dataset, TemporalPositionIdentifier=None, InstanceNumber=number)
    assert reasons(plan(headers(datasets))) == [Reason.AMBIGUOUS_ORDER]


@pytest.mark.parametrize("keep_temporal", [False, True])
def test_interrupted_scan_keeps_its_whole_volumes(keep_temporal: bool) -> None:
    datasets = Phantom(volumes=4).instances()[:-3]
    if not keep_temporal:
        datasets = [changed(dataset, TemporalPositionIdentifier=None) for dataset in datasets]
    volume = one(plan(headers(datasets)))
    assert volume.shape[3] == 3
    assert [left.sop_instance_uid for left in volume.left_out] == [datasets[-1].SOPInstanceUID]


@pytest.mark.parametrize("keep_temporal", [False, True])
def test_hole_in_the_middle_of_time_is_refused(keep_temporal: bool) -> None:
    datasets = Phantom(volumes=4).instances()
    del datasets[6]
    if not keep_temporal:
        datasets = [changed(dataset, TemporalPositionIdentifier=None) for dataset in datasets]
    assert reasons(plan(headers(datasets))) == [Reason.INCOMPLETE_GRID]


def test_one_position_again_and_again_needs_a_time() -> None:
    datasets = Phantom(size=(6, 5, 1), volumes=4).instances()
    numbered = [changed(d, TemporalPositionIdentifier=None) for d in datasets]
    assert reasons(plan(headers(numbered))) == [Reason.AMBIGUOUS_ORDER]
    for number, dataset in enumerate(numbered):
        dataset.TriggerTime = number * 40
    assert one(plan(headers(numbered))).shape == (6, 5, 1, 4)


# ------------------------------------------------------------------ refusals
def test_missing_slice() -> None:
    datasets = Phantom(size=(6, 5, 6)).instances()
    del datasets[2]
    assert reasons(plan(headers(datasets))) == [Reason.MISSING_SLICE]


def test_unequal_steps_are_not_averaged() -> None:
    datasets = Phantom(size=(6, 5, 6), sop_class=CT).instances()
    for dataset in datasets[3:]:
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, y, z + 1.3]
    result = plan(headers(datasets))
    assert reasons(result) == [Reason.UNEQUAL_SPACING]
    assert len(result.refusals[0].instances) == 6


def test_duplicate_position_with_other_content() -> None:
    datasets = Phantom().instances()
    again = Phantom().instance(2)
    again.SOPInstanceUID = "1.2.3"
    again.InstanceNumber = 99
    result = plan(headers([*datasets, again]))
    assert reasons(result) == [Reason.DUPLICATE_POSITION]
    assert "1.2.3" in result.refusals[0].instances


def test_one_uid_for_two_images() -> None:
    datasets = [*Phantom().instances(), changed(Phantom().instance(2), RescaleSlope=3)]
    result = plan(headers(datasets))
    assert Reason.DUPLICATE_POSITION in reasons(result)
    assert not result.volumes


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"ImagePositionPatient": None}, Reason.NO_GEOMETRY),
        ({"ImageOrientationPatient": None}, Reason.NO_GEOMETRY),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, Reason.BAD_ORIENTATION),
        ({"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}, Reason.BAD_ORIENTATION),
        ({"PixelSpacing": None}, Reason.BAD_PIXEL_SPACING),
        ({"PixelSpacing": [0, 1]}, Reason.BAD_PIXEL_SPACING),
        ({"PixelSpacing": ["1e-300", "1e-300"]}, Reason.BAD_PIXEL_SPACING),
        ({"PixelSpacing": ["1e30", "1"]}, Reason.BAD_PIXEL_SPACING),
        ({"ImagePositionPatient": ["0", "1e30", "0"]}, Reason.NO_GEOMETRY),
    ],
)
def test_unusable_geometry(attributes: dict[str, object], reason: Reason) -> None:
    datasets = [changed(dataset, **attributes) for dataset in Phantom().instances()]
    result = plan(headers(datasets))
    assert reasons(result) == [reason]
    assert not result.volumes


def test_one_slice_without_position_leaves_a_hole_that_is_named() -> None:
    datasets = Phantom(size=(6, 5, 6)).instances()
    changed(datasets[2], ImagePositionPatient=None)
    assert reasons(plan(headers(datasets))) == [Reason.NO_GEOMETRY, Reason.MISSING_SLICE]


def test_slices_of_other_size_do_not_join() -> None:
    datasets = Phantom(size=(6, 5, 6)).instances()
    changed(datasets[2], Rows=4, PixelData=b"\0" * 48)
    result = plan(headers(datasets))
    assert sorted(reasons(result)) == [Reason.INCONSISTENT_FRAMES, Reason.MISSING_SLICE]
    assert not result.volumes


def test_slices_off_the_line_are_refused() -> None:
    datasets = Phantom(size=(6, 5, 6)).instances()
    x, y, z = datasets[3].ImagePositionPatient
    datasets[3].ImagePositionPatient = [x + 0.5, y, z]
    assert reasons(plan(headers(datasets))) == [Reason.RESIDUAL_TOO_LARGE]


def test_positions_that_an_anonymizer_made_equal() -> None:
    datasets = Phantom(size=(6, 5, 6)).instances()
    for number, dataset in enumerate(datasets):
        dataset.ImagePositionPatient = [0, 0, 0]
        dataset.AcquisitionNumber = number
        dataset.SliceLocation = number * 3
    result = plan(headers(datasets))
    assert reasons(result) == [Reason.NO_GEOMETRY]
    assert not result.volumes


def test_many_views_are_not_a_volume() -> None:
    datasets = []
    for number in range(40):
        (view,) = Phantom(size=(6, 5, 1), rotation=oblique((0, number * 0.05, 0))).instances()
        view.SOPInstanceUID += f".{number}"
        datasets.append(view)
    assert reasons(plan(headers(datasets))) == [Reason.MIXED_ORIENTATIONS]
