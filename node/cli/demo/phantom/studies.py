"""Studies of the phantom's patient as valid, wholly synthetic DICOM (PS3.3 A.3, A.4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)
from pydicom.valuerep import format_number_as_ds

from node.cli.demo.phantom.anatomy import Field, Points, head_ct, head_mr
from node.core.version import VERSION

CT_OFFSET = 1024  # CT values are stored unsigned, with this taken off again by the intercept
MR_REPETITION_MS = 2000
_ANGLES = {"CT": (14.0, -9.0, 6.0), "MR": (-18.0, 7.0, -11.0)}  # degrees about R, A, S


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the samples of a stack lie.

    Attributes:
        row, column, normal: unit vectors in LPS along a row, along a column, from slice to slice.
        centre: the stack's middle, LPS mm.
        shape: columns, rows, slices.
        spacing: mm between columns, rows, slices.
    """

    row: NDArray[np.float64]
    column: NDArray[np.float64]
    normal: NDArray[np.float64]
    centre: NDArray[np.float64]
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]

    def origin(self, place: int) -> NDArray[np.float64]:
        """ImagePositionPatient of a slice: the centre of its first pixel, LPS mm (C.7.6.2.1.1)."""
        steps = [-(count - 1) / 2 for count in self.shape]
        steps[2] += place
        axes = (self.row, self.column, self.normal)
        moved: NDArray[np.float64] = self.centre + sum(
            axis * step * mm for axis, step, mm in zip(axes, steps, self.spacing, strict=True)
        )
        return moved

    def points(self, place: int) -> Points:
        """RAS mm of every pixel of a slice, as three (rows, columns) arrays."""
        column, row = np.meshgrid(np.arange(self.shape[0]), np.arange(self.shape[1]))
        left, posterior, superior = (
            self.origin(place)[axis]
            + self.row[axis] * column * self.spacing[0]
            + self.column[axis] * row * self.spacing[1]
            for axis in range(3)
        )
        return -left, -posterior, superior


@dataclass(frozen=True, slots=True)
class Study:
    """A study with one series.

    Attributes:
        name: for people.
        data_sets: each with file meta information, in the order of InstanceNumber.
        times: how many time points.
        truth: rescaled values at points in RAS mm, at a 0-based time point.
    """

    name: str
    series_uid: str
    data_sets: tuple[Dataset, ...]
    times: int
    truth: Callable[[Points, int], Field]

    def save(self, folder: Path) -> None:
        """Write the study as Part 10 files."""
        folder.mkdir(parents=True, exist_ok=True)
        for data_set in self.data_sets:
            path = folder / f"{data_set.Modality}{data_set.InstanceNumber:04d}.dcm"
            data_set.save_as(path, enforce_file_format=True)


def ct_study(now: datetime, shape: tuple[int, int, int] = (128, 128, 60)) -> Study:
    """An oblique head CT: columns, rows, slices over 244 × 244 × 183 mm.

    Args:
        now: when the study was made, as the scanner's clock says.
    """
    grid = _grid("CT", shape, (244.0, 244.0, 183.0), (-3.0, 8.0, 12.0))
    common = _patient_to_equipment("CT", "Head, oblique", CTImageStorage, now)
    common.BodyPartExamined = "HEAD"
    common.KVP = "120"
    common.RescaleIntercept = str(-CT_OFFSET)
    common.RescaleSlope = "1"
    common.RescaleType = "HU"
    common.WindowCenter = "40"
    common.WindowWidth = "120"
    common.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    common.AcquisitionNumber = "1"
    common.ImagesInAcquisition = str(shape[2])  # by which a receiver knows when it has them all
    data_sets = []
    for place in range(shape[2]):
        values = head_ct(grid.points(place)) + CT_OFFSET
        data_sets.append(_image(common, grid, place, place + 1, values, 12, now))
    return Study(
        "oblique CT",
        str(common.SeriesInstanceUID),
        tuple(data_sets),
        1,
        lambda points, _time: head_ct(points),
    )


def mr_study(now: datetime, shape: tuple[int, int, int, int] = (64, 64, 20, 6)) -> Study:
    """A 4D MR of single-frame images: columns, rows, slices, time points.

    Args:
        now: when the study was made, as the scanner's clock says.
    """
    grid = _grid("MR", shape[:3], (224.0, 224.0, 120.0), (2.0, -4.0, 22.0))
    slices, times = shape[2:]
    common = _patient_to_equipment("MR", "Finger tapping, oblique", MRImageStorage, now)
    common.BodyPartExamined = "BRAIN"
    common.ImageType = ["ORIGINAL", "PRIMARY", "M", "FMRI"]
    common.ScanningSequence = "EP"
    common.SequenceVariant = "SK"
    common.ScanOptions = ""
    common.MRAcquisitionType = "2D"
    common.RepetitionTime = str(MR_REPETITION_MS)
    common.EchoTime = "30"
    common.EchoTrainLength = str(shape[1])
    common.FlipAngle = "77"
    common.MagneticFieldStrength = "3"
    common.NumberOfTemporalPositions = str(times)
    common.TemporalResolution = str(MR_REPETITION_MS)
    common.ImagesInAcquisition = str(slices)
    data_sets = []
    for time, place in product(range(times), range(slices)):
        at = now + timedelta(milliseconds=MR_REPETITION_MS * (time + place / slices))
        values = head_mr(grid.points(place), _activity(time, times))
        image = _image(common, grid, place, time * slices + place + 1, values, 16, at)
        image.TemporalPositionIdentifier = str(time + 1)
        image.AcquisitionNumber = str(time + 1)
        data_sets.append(image)
    return Study(
        "4D MR",
        str(common.SeriesInstanceUID),
        tuple(data_sets),
        times,
        lambda points, time: head_mr(points, _activity(time, times)),
    )


def _activity(time: int, times: int) -> float:
    """The left motor cortex works in the middle of the run."""
    return 0.25 * float(np.sin(np.pi * time / max(1, times - 1)))


def _grid(
    modality: str,
    shape: tuple[int, int, int],
    extent: tuple[float, float, float],
    centre: tuple[float, float, float],
) -> Grid:
    axes = _rotation(*_ANGLES[modality])
    columns, rows, slices = shape
    return Grid(
        row=axes[:, 0],
        column=axes[:, 1],
        normal=axes[:, 2],
        centre=np.array(centre),
        shape=shape,
        spacing=(extent[0] / columns, extent[1] / rows, extent[2] / slices),
    )


def _rotation(x: float, y: float, z: float) -> NDArray[np.float64]:
    """(3, 3) whose columns are the turned L, P and S axes; angles in degrees."""
    (cx, cy, cz), (sx, sy, sz) = (f(np.radians([x, y, z])) for f in (np.cos, np.sin))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    turned: NDArray[np.float64] = about_z @ about_y @ about_x
    return turned


def _patient_to_equipment(
    modality: str, description: str, sop_class: str, now: datetime
) -> Dataset:
    """What all images of the series share."""
    shared = Dataset()
    shared.SpecificCharacterSet = "ISO_IR 192"
    shared.PatientName = "PHANTOM^HEAD"
    shared.PatientID = "RASNODE-DEMO"
    shared.PatientBirthDate = ""
    shared.PatientSex = "O"
    shared.StudyInstanceUID = generate_uid(None)
    shared.StudyDate = now.strftime("%Y%m%d")
    shared.StudyTime = now.strftime("%H%M%S")
    shared.StudyID = "1"
    shared.StudyDescription = "rasnode demo"
    shared.AccessionNumber = ""
    shared.ReferringPhysicianName = ""
    shared.Modality = modality
    shared.SeriesInstanceUID = generate_uid(None)
    shared.SeriesNumber = "2" if modality == "CT" else "3"
    shared.SeriesDescription = description
    shared.SeriesDate = shared.StudyDate
    shared.SeriesTime = shared.StudyTime
    shared.PatientPosition = "HFS"
    shared.FrameOfReferenceUID = generate_uid(None)
    shared.PositionReferenceIndicator = ""
    shared.Manufacturer = "rasnode"
    shared.ManufacturerModelName = "phantom"
    shared.SoftwareVersions = VERSION
    shared.SOPClassUID = sop_class
    return shared


def _image(
    common: Dataset,
    grid: Grid,
    place: int,
    number: int,
    values: Field,
    bits: int,
    at: datetime,
) -> Dataset:
    image = Dataset()
    image.update(common)
    image.SOPInstanceUID = generate_uid(None)
    image.InstanceNumber = str(number)
    image.AcquisitionDate = image.ContentDate = at.strftime("%Y%m%d")
    image.AcquisitionTime = image.ContentTime = at.strftime("%H%M%S.%f")
    image.ImagePositionPatient = _decimals(*grid.origin(place))
    image.ImageOrientationPatient = _decimals(*grid.row, *grid.column)
    image.PixelSpacing = _decimals(grid.spacing[1], grid.spacing[0])
    image.SliceThickness = _decimals(grid.spacing[2])[0]
    image.SpacingBetweenSlices = image.SliceThickness
    if common.Modality == "CT":
        del image.SpacingBetweenSlices  # not of the CT Image IOD
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows, image.Columns = values.shape
    image.BitsAllocated = 16
    image.BitsStored = bits
    image.HighBit = bits - 1
    image.PixelRepresentation = 0
    stored = np.rint(values).clip(0, (1 << bits) - 1).astype("<u2")
    image.PixelData = stored.tobytes()
    image["PixelData"].VR = "OW"
    image.file_meta = FileMetaDataset()
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return image


def _decimals(*values: float) -> list[str]:
    return [format_number_as_ds(float(value)) for value in values]
