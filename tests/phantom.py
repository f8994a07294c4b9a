"""Series made from a chosen affine, in which every voxel says where in the world it is.

Values are 12-bit codes of the voxel's position in LPS, so that truth is analytic: whatever the
order, flip or encoding, a voxel of the result must hold the code of its own place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import format_number_as_ds

Matrix = npt.NDArray[np.float64]
MR, CT, PET = (f"1.2.840.10008.5.1.4.1.1.{last}" for last in ("4", "2", "128"))
ROOT = "1.2.826.0.1.3680043.10.1474"


def code(lps: npt.ArrayLike, volume: int = 0) -> npt.NDArray[np.uint16]:
    """The 12-bit value of points (..., 3) in LPS mm, different for places 0.4 mm apart."""
    x, y, z = np.moveaxis(np.asarray(lps, np.float64), -1, 0)
    mixed = np.rint(x * 2) * 31 + np.rint(y * 2) * 57 + np.rint(z * 2) * 101 + volume * 613
    return np.asarray(np.mod(mixed, 4096), np.uint16)


def decimal(values: Matrix) -> list[str]:
    """Decimal strings of at most 16 characters (PS3.5 6.2)."""
    return [format_number_as_ds(value) for value in values.tolist()]


def oblique(angles: Sequence[float]) -> Matrix:
    """A rotation by three angles in radians, about x, then y, then z."""
    result = np.eye(3)
    for axis, angle in enumerate(angles):
        cos, sin = np.cos(angle), np.sin(angle)
        a, b = [index for index in range(3) if index != axis]
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = cos
        turn[a, b], turn[b, a] = -sin, sin
        result = turn @ result
    return result


@dataclass(frozen=True)
class Phantom:
    """A series to be made.

    Attributes:
        rotation: (3, 3) columns: along a row, along a column, normal; LPS.
        spacing: mm between columns, rows, slices.
        origin: LPS mm of the first voxel.
        size: columns, rows, slices.
        shear: mm that each slice is shifted along the columns, as by a tilted gantry.
        volumes: how many, told apart by Temporal Position Identifier.
        attributes: more attributes of all instances, by keyword.
    """

    rotation: Matrix = field(default_factory=lambda: np.eye(3))
    spacing: tuple[float, float, float] = (1.5, 2.0, 3.0)
    origin: tuple[float, float, float] = (-20.0, -31.0, 12.0)
    size: tuple[int, int, int] = (6, 5, 4)
    shear: float = 0.0
    volumes: int = 1
    sop_class: str = MR
    series: str = f"{ROOT}.1"
    attributes: dict[str, Any] = field(default_factory=dict)

    def but(self, **changes: Any) -> Phantom:
        """A phantom that differs."""
        return replace(self, **changes)

    @property
    def affine(self) -> Matrix:
        """(4, 4) voxel (column, row, slice) -> LPS mm."""
        affine = np.eye(4)
        affine[:3, :3] = self.rotation * self.spacing
        affine[:3, 2] += self.rotation[:, 1] * self.shear
        affine[:3, 3] = self.origin
        return affine

    def positions(self, k: int) -> Matrix:
        """(rows, columns, 3) LPS mm of a slice."""
        columns, rows, _ = self.size
        row, column = np.mgrid[:rows, :columns]
        voxels = np.stack([column, row, np.full_like(row, k)], axis=-1)
        return np.asarray(voxels @ self.affine[:3, :3].T + self.affine[:3, 3])

    def instances(self) -> list[Dataset]:
        """One classic single-frame instance for each slice and volume."""
        return [self.instance(k, t) for t in range(self.volumes) for k in range(self.size[2])]

    def instance(self, k: int, t: int = 0) -> Dataset:
        """One slice of one volume."""
        number = t * self.size[2] + k + 1
        dataset = Dataset()
        dataset.SOPClassUID = self.sop_class
        dataset.SOPInstanceUID = f"{self.series}.{number}"
        dataset.StudyInstanceUID = f"{ROOT}.9"
        dataset.SeriesInstanceUID = self.series
        dataset.FrameOfReferenceUID = f"{ROOT}.8"
        dataset.Modality = {CT: "CT", PET: "PT"}.get(self.sop_class, "MR")
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "M"]
        dataset.SeriesNumber = 7
        dataset.InstanceNumber = number
        dataset.PatientName = "Phantom^Test"
        dataset.ImagePositionPatient = decimal(self.affine[:3] @ [0, 0, k, 1])
        dataset.ImageOrientationPatient = decimal(self.rotation[:, :2].T.ravel())
        dataset.PixelSpacing = [self.spacing[1], self.spacing[0]]
        dataset.SliceThickness = self.spacing[2]
        if self.volumes > 1:
            dataset.TemporalPositionIdentifier = t + 1
            dataset.RepetitionTime = 2000
        dataset.SamplesPerPixel = 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.Columns, dataset.Rows = self.size[:2]
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
        dataset.PixelRepresentation = 0
        dataset.add_new(0x7FE00010, "OW", code(self.positions(k), t).tobytes())
        for keyword, value in self.attributes.items():
            setattr(dataset, keyword, value)
        return dataset


def save(
    datasets: Sequence[Dataset], folder: Path, syntax: str = ExplicitVRLittleEndian
) -> list[Path]:
    """Write Part 10 files in an uncompressed transfer syntax."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index, dataset in enumerate(datasets):
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        path = folder / f"{index:05d}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths
