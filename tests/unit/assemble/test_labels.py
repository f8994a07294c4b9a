"""Labels and doses: on the right voxels, or refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from highdicom.content import AlgorithmIdentificationSequence
from highdicom.seg import (
    SegmentAlgorithmTypeValues,
    Segmentation,
    SegmentationTypeValues,
    SegmentDescription,
)
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from node.assemble import space
from node.assemble.volumes.contours import inside_polygon
from node.convert import OutputOptions, convert_series, read_folder
from node.convert.load import load_all
from node.convert.series import Conversion
from node.core.errors import AssemblyError, Reason
from tests.phantom import CT, ROOT, Phantom, decimal, oblique, save
from tests.unit.assemble.build import header

SIZE = (12, 10, 6)
PHANTOM = Phantom(rotation=oblique((0.3, -0.2, 2.0)), sop_class=CT, size=SIZE)
LABELS = f"{ROOT}.77"


def images() -> list[Dataset]:
    made = PHANTOM.instances()
    for one in made:
        one.PatientID = one.StudyID = "1"
        one.PatientBirthDate = one.StudyDate = one.StudyTime = one.AccessionNumber = ""
        one.PatientSex = "O"
        one.ReferringPhysicianName = ""
        one.file_meta = FileMetaDataset()
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return made


def segmentation(masks: list[np.ndarray], **options: Any) -> Dataset:
    """A SEG of masks (k, row, column), 0 or 1."""
    algorithm = AlgorithmIdentificationSequence("test", codes.DCM.ArtificialIntelligence, "1")
    described = [
        SegmentDescription(
            number,
            f"Part {number}",
            codes.SCT.Organ,
            codes.SCT.Organ,
            SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm,
        )
        for number in range(1, len(masks) + 1)
    ]
    return Segmentation(
        images(),
        np.stack(masks, axis=-1),
        options.pop("kind", SegmentationTypeValues.BINARY),
        described,
        LABELS,
        99,
        generate_uid(),
        1,
        "Maker",
        "Model",
        "1",
        "1",
        **options,
    )


def convert(folder: Path, labels: Dataset, *, reference: bool = True) -> Conversion:
    save(images(), folder / "images")
    labels.SeriesInstanceUID = LABELS
    save([labels], folder / "labels")
    (made,) = read_folder([folder / "labels"])[0]
    (referred,) = read_folder([folder / "images"])[0]
    (folder / "out").mkdir()
    options = OutputOptions(compress=False)
    given = referred.instances if reference else ()
    convert_series(referred.instances, folder / "out", "image", options)
    return convert_series(made.instances, folder / "out", "label", options, references=given)


def check(path: Path, number: int, mask: np.ndarray) -> None:
    """Every voxel of the map is where the mask (k, row, column) has it in the world."""
    image = nib.load(path)
    data = np.asanyarray(image.dataobj)
    assert data.dtype.kind == "u"
    k, row, column = np.nonzero(mask)
    lps = space.to_world(PHANTOM.affine, np.stack([column, row, k], axis=1))
    affine = space.ras_to_lps(np.asarray(image.affine, float))
    voxels = np.rint(space.to_voxel(affine, lps)).astype(int)
    assert {tuple(v) for v in voxels.tolist()} == {
        tuple(v) for v in np.argwhere(data == number).tolist()
    }


def box(*ranges: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(SIZE[::-1], np.uint8)
    mask[tuple(slice(*one) for one in ranges)] = 1
    return mask


A, B = box((1, 3), (2, 7), (3, 11)), box((3, 5), (0, 4), (0, 2))
OVER = box((2, 4), (1, 5), (2, 6))


def test_labels_that_came_twice_are_made_once_and_never_guessed(tmp_path: Path) -> None:
    save(images(), tmp_path / "images")
    (referred,) = read_folder([tmp_path / "images"])[0]
    (tmp_path / "out").mkdir()
    first, other = segmentation([A]), segmentation([B])
    for name, again in (("same", first), ("other", other)):
        again.SeriesInstanceUID = first.SeriesInstanceUID = LABELS
        again.SOPInstanceUID = first.SOPInstanceUID
        save([first], tmp_path / name / "1")
        save([again], tmp_path / name / "2")
        (labels,) = read_folder([tmp_path / name])[0]
        made = convert_series(
            labels.instances, tmp_path / "out", name, references=referred.instances
        )
        if name == "same":
            assert (len(made.products), made.refusals) == (1, ())
        else:
            assert made.products == ()
            assert {one.reason for one in made.refusals} == {Reason.DUPLICATE_POSITION}


@pytest.mark.parametrize("empty", [True, False])
def test_segments_lie_on_the_voxels_of_their_series(tmp_path: Path, empty: bool) -> None:
    result = convert(tmp_path, segmentation([A, B], omit_empty_frames=empty))
    assert not result.refusals
    check(tmp_path / "out/label.nii", 1, A)
    check(tmp_path / "out/label.nii", 2, B)
    image, label = (nib.load(tmp_path / f"out/{name}.nii") for name in ("image", "label"))
    assert image.shape == label.shape
    assert (image.affine == label.affine).all()
    sidecar = json.loads((tmp_path / "out/label.json").read_text())
    assert sidecar["ReferencedSeriesInstanceUID"] == PHANTOM.series
    assert [(one["value"], one["name"]) for one in sidecar["Labels"]] == [
        (1, "Part 1"),
        (2, "Part 2"),
    ]


def test_overlapping_segments_are_in_files_of_their_own(tmp_path: Path) -> None:
    result = convert(tmp_path, segmentation([A, B, OVER]))
    assert [one.stem for one in result.products] == ["label", "label_overlap1"]
    check(tmp_path / "out/label.nii", 1, A)
    check(tmp_path / "out/label_overlap1.nii", 3, OVER)
    listed = json.loads((tmp_path / "out/label_overlap1.json").read_text())["Labels"]
    assert [one["value"] for one in listed] == [3]


def test_half_of_a_fraction_is_inside(tmp_path: Path) -> None:
    fraction = A * 0.6 + B * 0.4
    made = segmentation([fraction], kind=SegmentationTypeValues.FRACTIONAL)
    convert(tmp_path, made)
    check(tmp_path / "out/label.nii", 1, A)


def unstated(made: Dataset) -> None:
    """Let a SEG not say how far its slices are apart."""
    measures = made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    if "SpacingBetweenSlices" in measures:
        del measures.SpacingBetweenSlices


def test_a_segmentation_that_states_its_grid_needs_no_series(tmp_path: Path) -> None:
    mask = box((0, 1), (2, 7), (3, 11)) + box((4, 5), (0, 4), (0, 2))
    made = segmentation([mask], omit_empty_frames=True)
    measures = made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.SpacingBetweenSlices = PHANTOM.spacing[2]
    save([made], tmp_path / "in")
    (series,) = read_folder([tmp_path / "in"])[0]
    options = OutputOptions(compress=False)
    out = tmp_path / "out"
    result = convert_series(series.instances, out, "label", options, own_grids=False)
    assert not result.refusals
    check(tmp_path / "out/label.nii", 1, mask)


def test_labels_without_their_series_wait_or_are_refused(tmp_path: Path) -> None:
    """The node waits for the series; contours have no grid of their own."""
    alone = convert(tmp_path / "1", structure_set([(2, square(1.5, 8.5))]), reference=False)
    made = segmentation([A])
    unstated(made)
    save([made], tmp_path / "in")
    (series,) = read_folder([tmp_path / "in"])[0]
    waiting = convert_series(series.instances, tmp_path, "label", own_grids=False)
    for result in (alone, waiting):
        assert [error.reason for error in result.refusals] == [Reason.MISSING_REFERENCE]
        assert PHANTOM.series in result.refusals[0].sentence
        assert not result.products


@pytest.mark.parametrize("stated", [True, False])
def test_segments_without_their_series_lie_on_their_own_grid(tmp_path: Path, stated: bool) -> None:
    """Slices between frames are empty, and frames in any order are at their places."""
    mask = box((0, 1), (2, 7), (3, 11)) + box((3, 5), (0, 4), (0, 2))
    made = segmentation([mask, B], omit_empty_frames=True)
    measures = made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    if stated:
        measures.SpacingBetweenSlices = PHANTOM.spacing[2]
    else:
        unstated(made)
    result = convert(tmp_path, made, reference=False)
    assert not result.refusals
    (product, other) = result.products
    assert sorted(product.shape) == sorted((12, 10, 5))
    check(tmp_path / "out/label.nii", 1, mask)
    check(tmp_path / f"out/{other.stem}.nii", 2, B)
    sidecar = json.loads((tmp_path / "out/label.json").read_text())
    assert sidecar["LabelsOnOwnGrid"] is True
    assert sidecar["ReferencedSeriesInstanceUID"] == PHANTOM.series
    manifest = json.loads((tmp_path / "out/label.manifest.json").read_text())
    assert manifest["own_grid"] is True
    volume = load_all(tmp_path / "labels")[0]
    image = nib.load(tmp_path / "out/label.nii")
    assert (volume.array == np.asanyarray(image.dataobj)).all()
    assert (volume.affine == image.affine).all()


def test_segments_on_a_single_slice_are_as_thick_as_stated(tmp_path: Path) -> None:
    result = convert(tmp_path, segmentation([box((2, 3), (2, 7), (3, 11))]), reference=False)
    assert not result.refusals
    image = nib.load(tmp_path / "out/label.nii")
    assert sorted(space.voxel_sizes(np.asarray(image.affine))) == pytest.approx([1.5, 2, 3])


def test_segments_at_uneven_places_are_refused_without_their_series(tmp_path: Path) -> None:
    made = segmentation([box((0, 5), (2, 7), (3, 11))])
    groups = made.PerFrameFunctionalGroupsSequence
    normal = PHANTOM.rotation[:, 2]
    for group, shift in zip(groups, (0, 0, 1.2, 0, 0), strict=False):
        place = group.PlanePositionSequence[0]
        moved = np.array(place.ImagePositionPatient, float) + normal * shift
        place.ImagePositionPatient = decimal(moved)
    (error,) = convert(tmp_path, made, reference=False).refusals
    assert error.reason is Reason.UNEQUAL_SPACING


def test_segments_beside_the_grid_are_refused(tmp_path: Path) -> None:
    made = segmentation([A])
    for group in made.PerFrameFunctionalGroupsSequence:
        place = group.PlanePositionSequence[0]
        x, y, z = place.ImagePositionPatient
        place.ImagePositionPatient = decimal(np.array([x + 0.6, y, z], float))
    (error,) = convert(tmp_path, made).refusals
    assert error.reason is Reason.RESIDUAL_TOO_LARGE


def test_segments_in_another_space_are_refused(tmp_path: Path) -> None:
    made = segmentation([A])
    made.FrameOfReferenceUID = "1.2.3"
    (error,) = convert(tmp_path, made).refusals
    assert error.reason is Reason.FRAME_OF_REFERENCE


# ------------------------------------------------------------------ contours
def structure_set(contours: list[tuple[int, list[tuple[float, float]]]], k_shift: float = 0) -> Any:
    """An RT Structure Set; contours are (k, [(column, row)])."""
    made = Dataset()
    made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    made.SOPInstanceUID = f"{LABELS}.1"
    made.StudyInstanceUID = f"{ROOT}.9"
    made.Modality = "RTSTRUCT"
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = PHANTOM.series
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID = f"{ROOT}.8"
    frame.RTReferencedStudySequence = [study]
    made.ReferencedFrameOfReferenceSequence = [frame]
    name, region = Dataset(), Dataset()
    name.ROINumber, name.ROIName = 5, "Liver"
    made.StructureSetROISequence = [name]
    region.ReferencedROINumber, region.ROIDisplayColor = 5, [255, 0, 10]
    region.ContourSequence = []
    for k, corners in contours:
        item = Dataset()
        item.ContourGeometricType = "CLOSED_PLANAR"
        item.NumberOfContourPoints = len(corners)
        points = space.to_world(PHANTOM.affine, [(c, r, k + k_shift) for c, r in corners])
        item.ContourData = decimal(points.ravel())
        region.ContourSequence.append(item)
    made.ROIContourSequence = [region]
    return made


def square(low: float, high: float) -> list[tuple[float, float]]:
    return [(low, low), (high, low), (high, high), (low, high)]


def test_contours_are_filled_and_holes_stay(tmp_path: Path) -> None:
    drawn = [(2, square(1.5, 8.5)), (2, square(3.5, 5.5)), (4, square(0.5, 2.5))]
    result = convert(tmp_path, structure_set(drawn))
    assert not result.refusals
    expected = (
        box((2, 3), (2, 9), (2, 9)) - box((2, 3), (4, 6), (4, 6)) + box((4, 5), (1, 3), (1, 3))
    )
    check(tmp_path / "out/label.nii", 5, expected)
    (label,) = json.loads((tmp_path / "out/label.json").read_text())["Labels"]
    assert label == {"value": 5, "name": "Liver", "colour": [255, 0, 10]}


def test_contours_between_slices_are_refused(tmp_path: Path) -> None:
    (error,) = convert(tmp_path, structure_set([(2, square(1.5, 8.5))], k_shift=0.5)).refusals
    assert error.reason is Reason.RESIDUAL_TOO_LARGE


def test_contours_beyond_the_series_are_refused(tmp_path: Path) -> None:
    (error,) = convert(tmp_path, structure_set([(7, square(1.5, 8.5))])).refusals
    assert error.reason is Reason.MISSING_REFERENCE


def test_a_polygon_holds_its_area() -> None:
    turns = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    circle = np.stack([50.3 + 30.2 * np.cos(turns), 49.8 + 30.2 * np.sin(turns)], axis=1)
    inside = inside_polygon(circle, (100, 100))
    assert inside.sum() == pytest.approx(np.pi * 30.2**2, rel=0.01)
    columns, rows = np.nonzero(inside)
    assert np.hypot(columns - 50.3, rows - 49.8).max() <= 30.2


# ------------------------------------------------------------------ dose
def dose(offsets: list[float]) -> Dataset:
    made = PHANTOM.instance(0)
    made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.481.2"
    made.Modality = "RTDOSE"
    made.NumberOfFrames = len(offsets)
    made.GridFrameOffsetVector = offsets
    made.DoseGridScaling = "0.002"
    made.DoseUnits, made.DoseType, made.DoseSummationType = "GY", "PHYSICAL", "PLAN"
    made.BitsStored, made.HighBit = 16, 15
    values = np.stack([PHANTOM.positions(k) @ [1, 2, 30] + 2000 for k in range(len(offsets))])
    made.add_new(0x7FE00010, "OW", np.rint(values).astype(np.uint16).tobytes())
    return made


def test_dose_is_in_gray_at_its_place(tmp_path: Path) -> None:
    save([dose([3.0 * k for k in range(6)])], tmp_path / "in")
    (series,) = read_folder([tmp_path / "in"])[0]
    result = convert_series(series.instances, tmp_path, "dose", OutputOptions(compress=False))
    assert not result.refusals
    image = nib.load(tmp_path / "dose.nii")
    data = np.asanyarray(image.dataobj)
    voxels = np.stack(np.indices(data.shape), axis=-1)
    lps = space.to_world(space.ras_to_lps(np.asarray(image.affine, float)), voxels)
    assert np.abs(data - (lps @ [1, 2, 30] + 2000) * 0.002).max() < 0.0011
    assert json.loads((tmp_path / "dose.json").read_text())["Units"] == "Gy"


def test_uneven_dose_planes_are_refused(tmp_path: Path) -> None:
    save([dose([0, 3, 6, 10.5, 13, 16])], tmp_path / "in")
    (series,) = read_folder([tmp_path / "in"])[0]
    result = convert_series(series.instances, tmp_path, "dose")
    assert [error.reason for error in result.refusals] == [Reason.UNEQUAL_SPACING]


def heights(orientation: list[float], z: float, offsets: list[float]) -> list[float]:
    """z of the planes of a dose, mm, in the order of its frames; they move along z alone."""
    made = dose(offsets)
    made.ImagePositionPatient = [8, -6, z]
    made.ImageOrientationPatient = orientation
    described = header(made)
    if described.problem:
        raise AssemblyError(described.problem.reason, described.problem.sentence)
    places = [frame.position for frame in described.frames]
    assert all(place and place[:2] == (8, -6) for place in places)
    return [place[2] for place in places if place]


HEAD, FEET, PRONE = [1, 0, 0, 0, 1, 0], [-1, 0, 0, 0, 1, 0], [-1, 0, 0, 0, -1, 0]


@pytest.mark.parametrize(
    ("orientation", "z", "offsets", "expected"),
    [
        (HEAD, 20, [0, 3, 6], [20, 23, 26]),
        (HEAD, 20, [0, -3, -6], [20, 17, 14]),
        (FEET, 20, [0, 3, 6], [20, 17, 14]),
        (FEET, -40, [-40, -37, -34], [-40, -37, -34]),
        (PRONE, 20, [20, 17, 14], [20, 17, 14]),
        (HEAD, 0, [0, 3, 6], [0, 3, 6]),
        (FEET, 0, [0], [0]),
    ],
)
def test_offsets_of_dose_planes_are_distances_or_coordinates(
    orientation: list[float], z: float, offsets: list[float], expected: list[float]
) -> None:
    assert heights(orientation, z, offsets) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("orientation", "z", "offsets", "reason"),
    [
        (FEET, 0, [0, 3, 6], Reason.AMBIGUOUS_ORDER),
        (HEAD, 20, [12, 15, 18], Reason.INCONSISTENT_FRAMES),
        ([1, 0, 0, 0, 0, -1], 20, [20, 23, 26], Reason.INCONSISTENT_FRAMES),
    ],
)
def test_dose_planes_that_may_lie_elsewhere_are_refused(
    orientation: list[float], z: float, offsets: list[float], reason: Reason
) -> None:
    with pytest.raises(AssemblyError) as error:
        heights(orientation, z, offsets)
    assert error.value.reason is reason


def test_dose_planes_that_go_to_and_fro_are_refused() -> None:
    problem = header(dose([0, 6, 3, 9, 12, 15])).problem
    assert problem is not None
    assert problem.reason is Reason.INCONSISTENT_FRAMES


def test_several_dose_planes_without_offsets_are_refused() -> None:
    made = dose([0, 3, 6])
    del made.GridFrameOffsetVector
    problem = header(made).problem
    assert problem
    assert problem.reason is Reason.INCONSISTENT_FRAMES
