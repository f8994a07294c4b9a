"""Labels of a series that was interpolated: on the grid that was written, or on none."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom.dataset import Dataset

from node.assemble import space
from node.convert import OutputOptions, convert_series, read_folder
from node.core.errors import Reason
from tests.phantom import CT, ROOT, Phantom, decimal, oblique, save

SIZE = (12, 10, 6)
PLAIN = Phantom(rotation=oblique((0.3, -0.2, 2.0)), sop_class=CT, size=SIZE)
TILTED = PLAIN.but(shear=1.1)
PLACES = np.array([0.0, 1.0, 2.0, 3.4, 4.4, 6.3])
"""Where slices lie, in slices of the phantom."""
COLUMNS, ROWS, SLICES = slice(3, 9), slice(2, 7), slice(1, 4)
BOTH = OutputOptions(compress=False, resample_tilt=True, resample_unequal=True)


def scan(phantom: Phantom, places: np.ndarray) -> list[Dataset]:
    made = phantom.instances()
    for place, one in zip(places, made, strict=True):
        one.ImagePositionPatient = decimal(phantom.affine[:3] @ [0, 0, place, 1])
    return made


def contours(phantom: Phantom, places: np.ndarray) -> Dataset:
    """A box of voxels, drawn half a voxel around their centres."""
    made, series, study, frame, region, name = (Dataset() for _ in range(6))
    made.SOPClassUID, made.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.481.3", f"{ROOT}.77.1"
    made.StudyInstanceUID, made.SeriesInstanceUID = f"{ROOT}.9", f"{ROOT}.77"
    made.Modality = "RTSTRUCT"
    series.SeriesInstanceUID = phantom.series
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = f"{ROOT}.8", [study]
    made.ReferencedFrameOfReferenceSequence = [frame]
    name.ROINumber, name.ROIName = 1, "Box"
    made.StructureSetROISequence, made.ROIContourSequence = [name], [region]
    region.ReferencedROINumber, region.ContourSequence = 1, []
    left, right = COLUMNS.start - 0.5, COLUMNS.stop - 0.5
    top, bottom = ROWS.start - 0.5, ROWS.stop - 0.5
    for place in places[SLICES]:
        corners = [(left, top, place), (right, top, place), (right, bottom, place)]
        corners.append((left, bottom, place))
        item = Dataset()
        item.ContourGeometricType = "CLOSED_PLANAR"
        item.ContourData = decimal(space.to_world(phantom.affine, corners).ravel())
        region.ContourSequence.append(item)
    return made


def segments(phantom: Phantom, places: np.ndarray) -> Dataset:
    """The same box as a binary segmentation, one frame for each slice (PS3.3 C.8.20.2)."""
    made = contours(phantom, places)
    del made.ReferencedFrameOfReferenceSequence, made.StructureSetROISequence
    del made.ROIContourSequence
    made.SOPClassUID, made.Modality = "1.2.840.10008.5.1.4.1.1.66.4", "SEG"
    series, segment, shared, measures, plane = (Dataset() for _ in range(5))
    series.SeriesInstanceUID = phantom.series
    made.ReferencedSeriesSequence = [series]
    made.SegmentationType = "BINARY"
    segment.SegmentNumber, segment.SegmentLabel = 1, "Box"
    made.SegmentSequence = [segment]
    measures.PixelSpacing = [phantom.spacing[1], phantom.spacing[0]]
    plane.ImageOrientationPatient = decimal(phantom.rotation[:, :2].T.ravel())
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    made.SharedFunctionalGroupsSequence = [shared]
    made.PerFrameFunctionalGroupsSequence = []
    for place in places[SLICES]:
        group, position, which = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = decimal(phantom.affine[:3] @ [0, 0, place, 1])
        which.ReferencedSegmentNumber = 1
        group.PlanePositionSequence, group.SegmentIdentificationSequence = [position], [which]
        made.PerFrameFunctionalGroupsSequence.append(group)
    mask = np.zeros((len(made.PerFrameFunctionalGroupsSequence), SIZE[1], SIZE[0]), np.uint8)
    mask[:, ROWS, COLUMNS] = 1
    made.NumberOfFrames, made.Rows, made.Columns = len(mask), SIZE[1], SIZE[0]
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit, made.PixelRepresentation = 7, 0
    made.add_new(0x7FE00010, "OB", mask.tobytes())
    return made


@pytest.mark.parametrize("draw", [contours, segments])
@pytest.mark.parametrize(
    ("phantom", "places"),
    [(TILTED, np.arange(6.0)), (PLAIN, PLACES), (TILTED, PLACES)],
    ids=["tilted", "uneven", "both"],
)
def test_labels_follow_their_series_to_its_grid(
    phantom: Phantom, places: np.ndarray, draw: object, tmp_path: Path
) -> None:
    assert callable(draw)
    save(scan(phantom, places), tmp_path / "images")
    save([draw(phantom, places)], tmp_path / "labels")
    (images,) = read_folder([tmp_path / "images"])[0]
    (labels,) = read_folder([tmp_path / "labels"])[0]
    assert not convert_series(images.instances, tmp_path, "image", BOTH).refusals
    made = convert_series(labels.instances, tmp_path, "label", BOTH, references=images.instances)
    assert not made.refusals
    image, label = (nib.load(tmp_path / f"{name}.nii") for name in ("image", "label"))
    assert image.shape == label.shape
    assert (image.affine == label.affine).all()
    written = [
        json.loads((tmp_path / f"{name}.manifest.json").read_text()) for name in ("image", "label")
    ]
    assert written[0]["resampled"] == written[1]["resampled"] != []

    # every voxel is as the measured voxel closest to it; what lies halfway may be either
    data = np.asanyarray(label.dataobj)
    lps = space.to_world(
        space.ras_to_lps(np.asarray(label.affine, float)), np.stack(np.indices(data.shape), -1)
    )
    column, row, k = np.moveaxis(space.to_voxel(phantom.affine, lps.reshape(-1, 3)), -1, 0)
    apart = np.abs(k[:, None] - places)
    nearest = apart.argmin(axis=1)
    closest, second = np.sort(apart, axis=1)[:, :2].T
    halfway = second - closest < 0.02
    for along in (column, row):
        halfway |= np.abs(along - np.floor(along) - 0.5) < 0.02
    inside = np.ones(len(k), bool)
    for along, part in ((np.rint(column), COLUMNS), (np.rint(row), ROWS), (nearest, SLICES)):
        inside &= (along >= part.start) & (along < part.stop)
    assert inside.any()
    if phantom is PLAIN or (places == np.arange(6.0)).all():
        assert ((data.ravel() == 1) == inside)[~halfway].all()
    else:  # two interpolations: a voxel at the rim may be the neighbour's
        both = (data.ravel() == 1) & inside
        assert both.sum() > 0.85 * max(inside.sum(), (data == 1).sum())


def test_labels_of_uneven_slices_are_refused_where_the_series_is(tmp_path: Path) -> None:
    save(scan(PLAIN, PLACES), tmp_path / "images")
    save([contours(PLAIN, PLACES)], tmp_path / "labels")
    (images,) = read_folder([tmp_path / "images"])[0]
    (labels,) = read_folder([tmp_path / "labels"])[0]
    made = convert_series(labels.instances, tmp_path, "label", references=images.instances)
    assert [error.reason for error in made.refusals] == [Reason.MISSING_REFERENCE]
