"""Instances to send: CT slices of a given size, encoded once, ready for the wire."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pynetdicom.dsutils import encode

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = str(ExplicitVRLittleEndian)
_SPACING = 0.7  # mm


@dataclass(frozen=True)
class Instance:
    """One instance. `data_set` is in Explicit VR Little Endian."""

    uid: str
    data_set: bytes
    sop_class: str = CT


def series(count: int, side: int, seed: int = 1) -> list[Dataset]:
    """`count` slices of `side` × `side` voxels, one every mm, of noise around a ball."""
    noise = np.random.default_rng(seed)
    study, uid, frame = generate_uid(), generate_uid(), generate_uid()
    x, y = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side))
    made = []
    for number in range(count):
        inside = x * x + y * y < 0.8 - (2 * number / count - 1) ** 2 / 2
        values = np.where(inside, 1064, 24) + noise.integers(-20, 20, (side, side))
        image = Dataset()
        image.SOPClassUID, image.SOPInstanceUID = CT, generate_uid()
        image.StudyInstanceUID, image.SeriesInstanceUID = study, uid
        image.FrameOfReferenceUID = frame
        image.PatientName, image.PatientID = "Benchmark", "B1"
        image.PatientBirthDate = image.PatientSex = image.StudyID = image.AccessionNumber = ""
        image.ReferringPhysicianName = ""
        image.StudyDate, image.StudyTime = "20240102", "101112"
        image.Modality, image.Manufacturer, image.SeriesDescription = "CT", "rasnode", "Benchmark"
        image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        image.PatientPosition = "HFS"
        image.ImagesInAcquisition = count
        image.SeriesNumber, image.InstanceNumber, image.AcquisitionNumber = 1, number + 1, 1
        image.ImagePositionPatient = [-_SPACING * side / 2, -_SPACING * side / 2, float(number)]
        image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        image.PixelSpacing, image.SliceThickness = [_SPACING, _SPACING], 1
        image.KVP = 120
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.Rows = image.Columns = side
        image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
        image.PixelRepresentation = 0
        image.RescaleIntercept, image.RescaleSlope = -1024, 1
        image.PixelData = values.astype("<u2").tobytes()
        made.append(image)
    return made


def renewed(images: Sequence[Dataset]) -> None:
    """Make it another series of another study."""
    study, uid = generate_uid(), generate_uid()
    for image in images:
        image.StudyInstanceUID, image.SeriesInstanceUID = study, uid
        image.SOPInstanceUID = generate_uid()


def encoded(images: Sequence[Dataset]) -> list[Instance]:
    """The data sets as they go over the wire."""
    found = []
    for image in images:
        data = encode(image, False, True)
        assert data is not None
        found.append(Instance(str(image.SOPInstanceUID), data, str(image.SOPClassUID)))
    return found


def write(images: Sequence[Dataset], folder: Path) -> None:
    """Part 10 files, for clients and converters that read them."""
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        image.save_as(folder / f"{number:05d}.dcm", enforce_file_format=True)


def wire(instance: Instance, message_id: int, context_id: int, pdu: int) -> bytes:
    """A C-STORE request as PDUs of at most `pdu` bytes (PS3.7 9.3.1, PS3.8 9.3.5)."""
    fields = b"".join(
        struct.pack("<HHL", 0, element, len(value)) + value
        for element, value in (
            (0x0002, _even(instance.sop_class)),
            (0x0100, b"\x01\x00"),
            (0x0110, struct.pack("<H", message_id)),
            (0x0700, b"\x00\x00"),
            (0x0800, b"\x01\x00"),
            (0x1000, _even(instance.uid)),
        )
    )
    command = struct.pack("<HHLL", 0, 0, 4, len(fields)) + fields
    parts = [_p_data(context_id, 3, command)]
    data, room = instance.data_set, pdu - 6
    for at in range(0, len(data), room):
        last = at + room >= len(data)
        parts.append(_p_data(context_id, 2 if last else 0, data[at : at + room]))
    return b"".join(parts)


def _p_data(context_id: int, flags: int, data: bytes) -> bytes:
    return struct.pack(">BxLLBB", 4, len(data) + 6, len(data) + 2, context_id, flags) + data


def _even(uid: str) -> bytes:
    return uid.encode() + b"\0" * (len(uid) % 2)
