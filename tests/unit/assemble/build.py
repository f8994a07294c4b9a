"""Headers straight from phantoms, without files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian

from node.assemble.frames.headers import describe
from node.assemble.frames.model import InstanceHeader
from node.dicom import scan


def data_set(dataset: Dataset) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def header(dataset: Dataset) -> InstanceHeader:
    return describe(scan(data_set(dataset), ExplicitVRLittleEndian).elements)


def headers(datasets: Sequence[Dataset]) -> list[InstanceHeader]:
    return [header(dataset) for dataset in datasets]


def changed(dataset: Dataset, **attributes: Any) -> Dataset:
    """The data set with other attributes; None deletes one."""
    for keyword, value in attributes.items():
        if value is None:
            if keyword in dataset:
                delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset
