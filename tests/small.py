"""Small series as files, for tests that send them over a socket."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

STEP_MM = 2.5


def small_ct(
    folder: Path,
    slices: int,
    *,
    announced: bool,
    times: int = 1,
    description: str = "small",
) -> list[Path]:
    """An axial CT, one file a slice, the lowest first; each voxel holds its image's number.

    Args:
        announced: whether the headers say how many images there are.
        times: how many volumes, one after the other.
    """
    folder.mkdir(parents=True, exist_ok=True)
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    paths = []
    for number in range(1, slices * times + 1):
        time, place = divmod(number - 1, slices)
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.file_meta.MediaStorageSOPClassUID = CTImageStorage
        image.SOPClassUID = CTImageStorage
        image.SOPInstanceUID = generate_uid()
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        image.StudyInstanceUID, image.SeriesInstanceUID = study, series
        image.FrameOfReferenceUID = frame
        image.PatientName, image.PatientID = "Small^Patient", "SMALL"
        image.StudyDate, image.StudyTime = "20260101", "120000"
        image.Modality, image.SeriesNumber = "CT", 7
        image.SeriesDescription = description
        image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        image.AcquisitionNumber, image.InstanceNumber = 1, number
        if announced:
            image.ImagesInAcquisition = slices * times
        if times > 1:
            image.NumberOfTemporalPositions = times
            image.TemporalPositionIdentifier = time + 1
        image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        image.ImagePositionPatient = [-16, -16, STEP_MM * place]
        image.PixelSpacing = [1, 1]
        image.SliceThickness = STEP_MM
        image.Rows = image.Columns = 32
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
        image.PixelRepresentation = 1
        image.RescaleSlope, image.RescaleIntercept = 1, 0
        image.PixelData = np.full((32, 32), number, "<i2").tobytes()
        path = folder / f"{number:04}.dcm"
        image.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths
