"""Enhanced multi-frame images: the same phantom, frames in any order, geometry in groups."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from node.assemble.frames.model import PHASE, decode_header, encode_header
from node.assemble.series import plan
from node.assemble.sidecar.diffusion import Gradients, gradients
from node.core.errors import Reason
from tests.phantom import Phantom, oblique
from tests.unit.assemble.build import changed, header, headers

ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
SPATIAL, TEMPORAL = 0x00209057, 0x00209128


def item(**attributes: object) -> Sequence:
    return Sequence([changed(Dataset(), **attributes)])


def enhanced(phantom: Phantom, order: list[int] | None = None, offset: int = 0) -> Dataset:
    """All slices and volumes in one instance, frames in the given order."""
    singles = phantom.instances()
    order = list(range(len(singles))) if order is None else order
    made = phantom.instance(0)
    made.SOPClassUID = ENHANCED_MR
    made.NumberOfFrames = len(order)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(made, keyword)
    changed(made, TemporalPositionIdentifier=None, ConcatenationFrameOffsetNumber=offset)
    made.DimensionIndexSequence = Sequence(
        [changed(Dataset(), DimensionIndexPointer=tag) for tag in (SPATIAL, TEMPORAL)]
    )
    made.SharedFunctionalGroupsSequence = item(
        PlaneOrientationSequence=item(ImageOrientationPatient=singles[0].ImageOrientationPatient),
        PixelMeasuresSequence=item(
            PixelSpacing=singles[0].PixelSpacing, SliceThickness=phantom.spacing[2]
        ),
        MREchoSequence=item(EffectiveEchoTime=12.5),
        PixelValueTransformationSequence=item(RescaleSlope=2, RescaleIntercept=-3),
    )
    groups = []
    for number in order:
        t, k = divmod(number, phantom.size[2])
        group = changed(
            Dataset(),
            PlanePositionSequence=item(ImagePositionPatient=singles[number].ImagePositionPatient),
            FrameContentSequence=item(
                StackID="1", DimensionIndexValues=[k + 1, t + 1], TemporalPositionIndex=t + 1
            ),
        )
        groups.append(group)
    made.PerFrameFunctionalGroupsSequence = Sequence(groups)
    made.PixelData = b"".join(singles[number].PixelData for number in order)
    return made


@settings(deadline=None, max_examples=25)
@given(st.tuples(*[st.floats(-3.1, 3.1)] * 3), st.integers(1, 3), st.randoms())
def test_frames_in_any_order_are_where_their_groups_say(
    turned: tuple[float, float, float], volumes: int, shuffle: random.Random
) -> None:
    phantom = Phantom(rotation=oblique(turned), volumes=volumes)
    order = list(range(4 * volumes))
    shuffle.shuffle(order)
    (volume,) = plan([header(enhanced(phantom, order))]).volumes
    (classic,) = plan(headers(phantom.instances())).volumes
    assert volume.shape == classic.shape
    assert volume.affine == pytest.approx(classic.affine, abs=1e-9)
    for t, row in enumerate(volume.grid):
        for k, piece in enumerate(row):
            assert order[piece.frame.index] == t * 4 + k


def test_shared_groups_hold_for_all_frames() -> None:
    found = header(enhanced(Phantom(volumes=2)))
    assert found.problem is None
    assert len(found.frames) == 8
    for index, frame in enumerate(found.frames):
        assert (frame.index, frame.number, frame.echo_time) == (index, index + 1, 12.5)
        assert (frame.slope, frame.intercept, frame.thickness) == (2.0, -3.0, 3.0)
        assert frame.dimensions == (index // 4 + 1,)
    assert decode_header(encode_header(found)) == found


def test_a_concatenation_is_one_volume() -> None:
    whole = list(range(8))
    parts = [enhanced(Phantom(volumes=2), whole[at : at + 3], at) for at in (0, 3, 6)]
    for number, part in enumerate(parts):
        changed(
            part, SOPInstanceUID=f"1.2.{number}", ConcatenationUID="1.2.3", InstanceNumber=number
        )
    (volume,) = plan(headers(parts[::-1])).volumes
    assert volume.shape == (6, 5, 4, 2)
    assert [piece.frame.number for row in volume.grid for piece in row] == [
        number + 1 for number in whole
    ]


def test_one_instance_for_each_volume() -> None:
    parts = []
    for t in range(3):
        part = enhanced(Phantom(), list(range(4)))
        parts.append(changed(part, SOPInstanceUID=f"1.2.{9 - t}", InstanceNumber=t + 1))
    (volume,) = plan(headers(parts)).volumes
    assert volume.defined_by == "Instance Number of multi-frame images"
    assert [row[0].frame.instance for row in volume.grid] == [1, 2, 3]


@pytest.mark.parametrize("by_slice", [False, True])
@pytest.mark.parametrize("numbers", [(1, 2, 3), (1, 1, 1), (3, 2, 1), (None, None, None)])
def test_volumes_of_their_own_instances_are_in_the_order_of_time(
    numbers: tuple[int | None, ...], by_slice: bool
) -> None:
    """Every one calls itself the first in time, as XA's do; UIDs run against it."""
    parts = []
    for t, number in enumerate(numbers):
        part = changed(enhanced(Phantom()), SOPInstanceUID=f"1.2.{9 - t}", InstanceNumber=number)
        for k, group in enumerate(part.PerFrameFunctionalGroupsSequence):
            second = 2 * t + (0.1 * k if by_slice else 0)
            at = f"202401011000{second:06.3f}"
            group.FrameContentSequence[0].FrameAcquisitionDateTime = at
        parts.append(part)
    (volume,) = plan(headers(parts)).volumes
    assert [{piece.uid for piece in row} for row in volume.grid] == [
        {"1.2.9"},
        {"1.2.8"},
        {"1.2.7"},
    ]


def test_concatenations_follow_each_other_in_time() -> None:
    """Two of two volumes each, cut in the middle of a volume, in one series."""
    parts = []
    for run in range(2):
        for number, at in enumerate((0, 5), 1):
            order = list(range(8))[at : at + 5]
            part = changed(
                enhanced(Phantom(volumes=2), order, at),
                SOPInstanceUID=f"1.2.{9 - run}.{number}",
                ConcatenationUID=f"1.2.3.{run}",
                InConcatenationNumber=number,
            )
            for index, group in zip(order, part.PerFrameFunctionalGroupsSequence, strict=True):
                second = 10 * run + 2 * (index // 4)
                at_time = f"202401011000{second:02d}"
                group.FrameContentSequence[0].FrameAcquisitionDateTime = at_time
            parts.append(part)
    (volume,) = plan(headers(parts)).volumes
    assert volume.defined_by == "Acquisition Time"
    assert [row[0].header.concatenation[-1] for row in volume.grid] == ["0", "0", "1", "1"]
    lacking = plan(headers(parts[:1]))
    assert not lacking.volumes
    assert lacking.refusals


def test_complex_components_are_images_of_their_own() -> None:
    made = enhanced(Phantom(volumes=2))
    for index, group in enumerate(made.PerFrameFunctionalGroupsSequence):
        group.MRImageFrameTypeSequence = item(
            FrameType=["ORIGINAL", "PRIMARY", "T1", "NONE"],
            ComplexImageComponent="MAGNITUDE" if index < 4 else "PHASE",
        )
    magnitude, phase = plan([header(made)]).volumes
    assert (magnitude.suffix, phase.suffix) == ("", "_ph")
    assert phase.first.frame.kind == PHASE
    assert phase.first.frame.index == 4


def test_diffusion_macro_and_traces_apart() -> None:
    made = enhanced(Phantom(volumes=3))
    kinds = ("NONE", "DIRECTIONAL", "ISOTROPIC")
    for index, group in enumerate(made.PerFrameFunctionalGroupsSequence):
        kind = kinds[index // 4]
        group.MRDiffusionSequence = item(
            DiffusionBValue=0.0 if kind == "NONE" else 1000.0, DiffusionDirectionality=kind
        )
        if kind == "DIRECTIONAL":
            group.MRDiffusionSequence[0].DiffusionGradientDirectionSequence = item(
                DiffusionGradientOrientation=[0.0, 0.6, 0.8]
            )
    directed, trace = plan([header(made)]).volumes
    assert [row[0].frame.b_value for row in directed.grid] == [0.0, 1000.0]
    assert directed.grid[1][0].frame.gradient == pytest.approx((0.0, 0.6, 0.8))
    assert trace.suffix == "_trace"
    assert gradients(trace) == Gradients((1000.0,), ())


def test_groups_of_too_few_frames_are_refused() -> None:
    made = enhanced(Phantom())
    made.PerFrameFunctionalGroupsSequence = made.PerFrameFunctionalGroupsSequence[:3]
    found = header(made)
    assert found.problem is not None
    assert found.problem.reason is Reason.INCONSISTENT_FRAMES


def test_private_blocks_of_groups_do_not_hide_each_other() -> None:
    made = enhanced(Phantom())
    made.Manufacturer = "Philips"
    made.private_block(0x2005, "SOMEBODY ELSE", create=True).add_new(0x0E, "FL", 9.0)
    for group in made.PerFrameFunctionalGroupsSequence:
        inner = Dataset()
        inner.private_block(0x2005, "Philips MR Imaging DD 001", create=True).add_new(
            0x0E, "FL", 0.5
        )
        block = group.private_block(0x2005, "Philips MR Imaging DD 005", create=True)
        block.add_new(0x0F, "SQ", Sequence([inner]))
    found = header(made)
    assert {frame.slope for frame in found.frames} == {2.0}
    assert {frame.display_scale for frame in found.frames} == {(2.0, -3.0)}
    assert {frame.intercept for frame in found.frames} == {-3.0 / (2.0 * 0.5)}
