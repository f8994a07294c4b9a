"""Legacy converted enhanced images: what another tool makes of classic ones is the same volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from highdicom.legacy import (
    LegacyConvertedEnhancedCTImage,
    LegacyConvertedEnhancedMRImage,
    LegacyConvertedEnhancedPETImage,
)
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

import node
from tests.phantom import CT, MR, PET, Phantom, oblique, save

MAKERS: dict[str, Any] = {
    CT: LegacyConvertedEnhancedCTImage,
    MR: LegacyConvertedEnhancedMRImage,
    PET: LegacyConvertedEnhancedPETImage,
}


def classic(sop_class: str) -> list[Dataset]:
    phantom = Phantom(rotation=oblique((0.4, -0.3, 1.0)), sop_class=sop_class, shear=0.5)
    made = phantom.instances()
    for k, one in enumerate(made):
        one.PatientID = one.StudyID = "1"
        one.PatientBirthDate = one.StudyDate = one.StudyTime = one.AccessionNumber = ""
        one.PatientSex, one.ReferringPhysicianName = "O", ""
        one.SeriesDate = one.AcquisitionDate = one.ContentDate = "20240102"
        one.SeriesTime = one.AcquisitionTime = one.ContentTime = "101112"
        one.Manufacturer = "Maker"
        one.BodyPartExamined = "HEAD"
        one.RescaleSlope, one.RescaleIntercept = 1 + (k if sop_class == PET else 0), -10
        one.RescaleType = "US"
        one.file_meta = FileMetaDataset()
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return made


@pytest.mark.parametrize("sop_class", [CT, MR, PET], ids=["CT", "MR", "PET"])
def test_the_same_volume_as_of_the_classic_images(sop_class: str, tmp_path: Path) -> None:
    singles = classic(sop_class)
    made = MAKERS[sop_class](singles[::-1], generate_uid(), 8, generate_uid(), 1)
    first = node.load_dicom(save(singles, tmp_path / "classic"))
    second = node.load_dicom(save([made], tmp_path / "enhanced"))
    assert np.allclose(first.affine, second.affine, atol=1e-6)
    assert np.array_equal(first.array, second.array)
    assert len(np.unique(first.array)) > 50
