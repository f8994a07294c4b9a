"""A field map of an enhanced image has the values that its Real World Value Mapping states."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from node.convert import convert_series, read_folder
from tests.running import shared

pytestmark = pytest.mark.acceptance


def test_a_field_map_in_hertz(tmp_path: Path) -> None:
    checked = 0
    for series in read_folder([shared("corpus/enhanced-multiframe")])[0]:
        source = pydicom.dcmread(series.instances[0].path)
        if not str(source.Manufacturer).startswith("Philips"):
            continue
        convert_series(series.instances, tmp_path, "b0")
        (path,) = tmp_path.glob("*fieldmaphz.nii.gz")
        groups = source.PerFrameFunctionalGroupsSequence
        maps = [
            index
            for index, group in enumerate(groups)
            if group.MRImageFrameTypeSequence[0].FrameType[3] == "FIELD_MAP"
        ]
        mapping = groups[maps[0]].RealWorldValueMappingSequence[0]
        stored = source.pixel_array[maps].astype(np.float64)
        hertz = stored * mapping.RealWorldValueSlope + mapping.RealWorldValueIntercept
        found = np.asarray(nib.load(path).dataobj)  # type: ignore[attr-defined]
        # PS3.3 C.7.6.16.2.11.1; a float32 slope over 4096 steps is good for 1e-4 Hz
        assert np.abs(np.sort(found.ravel()) - np.sort(hertz.ravel())).max() < 2e-4
        checked += 1
    assert checked == 1
