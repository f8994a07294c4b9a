"""A run whose volumes have Series Instance UIDs of their own, as Siemens' XA made some."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom.dataset import Dataset

from node.convert import Series, convert_series, read_folder
from tests.phantom import ROOT, Phantom, save

PHANTOM = Phantom(volumes=3)


def run() -> list[Dataset]:
    """The UIDs fall as time goes on."""
    made = PHANTOM.instances()
    for one in made:
        t = one.TemporalPositionIdentifier - 1
        one.SeriesInstanceUID = f"{ROOT}.{9 - t}"
        one.Manufacturer, one.SoftwareVersions = "Siemens Healthineers", "syngo MR XA11"
        one.AcquisitionDate, one.AcquisitionTime = "20240101", f"1000{2 * t:02d}"
        one.InstanceNumber = (one.InstanceNumber - 1) % 4 + 1
        del one.TemporalPositionIdentifier
    return made


def found(datasets: list[Dataset], folder: Path) -> list[Series]:
    save(datasets, folder)
    return read_folder([folder])[0]


def test_volumes_are_joined_in_the_order_of_time(tmp_path: Path) -> None:
    (series,) = found(run(), tmp_path / "in")
    assert series.uid == f"{ROOT}.9"
    assert not convert_series(series.instances, tmp_path, "v").refusals
    data = np.asarray(nib.load(tmp_path / "v.nii.gz").dataobj)  # type: ignore[attr-defined]
    for t in range(3):
        stored = np.stack(
            [np.frombuffer(PHANTOM.instance(k, t).PixelData, "<u2").reshape(5, 6) for k in range(4)]
        )
        assert np.array_equal(data[::-1, ::-1, :, t].T, stored)
    fields = json.loads((tmp_path / "v.json").read_text())
    assert (fields["SeriesInstanceUID"], fields["RepetitionTime"]) == (f"{ROOT}.9", 2.0)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("SeriesNumber", 8),
        ("StudyInstanceUID", f"{ROOT}.5"),
        ("FrameOfReferenceUID", f"{ROOT}.6"),
        ("SoftwareVersions", "syngo MR E11"),
        ("Manufacturer", "Somebody Else"),
        ("ImageType", ["ORIGINAL", "PRIMARY", "P"]),
        ("EchoTime", 30),
        ("PixelSpacing", [2.0, 1.6]),
        ("AcquisitionTime", "100002"),
    ],
)
def test_what_differs_or_has_no_time_of_its_own_stays_apart(
    keyword: str, value: object, tmp_path: Path
) -> None:
    made = run()
    for one in made[8:]:
        setattr(one, keyword, value)
    assert len(found(made, tmp_path)) == 2


def test_series_with_several_volumes_stay_apart(tmp_path: Path) -> None:
    made = run()
    for one in made[4:]:
        one.SeriesInstanceUID = f"{ROOT}.7"
    assert len(found(made, tmp_path)) == 2
