"""Made mosaics of all planes and directions, as dcm2niix has them."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from node.convert import convert_series, read_folder
from tests.phantom import Phantom, oblique, save
from tests.reference import dcm2niix, judged
from tests.unit.assemble.siemens_scans import Mosaic, sheet
from tests.unit.assemble.weighted import PLANES

pytestmark = pytest.mark.acceptance
TILT = oblique((0.3, -0.15, 0.1))
DIRECTIONS = (None, (0.2, -0.5, 0.8), (0.7, 0.3, -0.2))


def made(number: int, plane: str, how: Mosaic, folder: Path) -> None:
    """Write a diffusion series whose voxels say where they are."""
    phantom = Phantom(
        rotation=PLANES[plane] @ TILT,
        size=(12, 10, 7),
        volumes=len(DIRECTIONS),
        series=f"1.2.826.0.1.3680043.10.1474.{100 + number}",
    )
    datasets = []
    for t, direction in enumerate(DIRECTIONS):
        image: dict[str, Any] = {
            "B_value": ("IS", [1000 if direction else 0]),
            "PhaseEncodingDirectionPositive": ("IS", [number % 2]),
            "BandwidthPerPixelPhaseEncode": ("FD", [20.5]),
            "MosaicRefAcqTimes": ("FD", [f"{300 * k:.8f}" for k in range(7)]),
        }
        if direction:
            vector = np.array(direction) / np.linalg.norm(direction)
            image["DiffusionGradientDirection"] = ("FD", [f"{value:.8f}" for value in vector])
        dataset = sheet(phantom, how.but(image=image), t)
        dataset.SeriesNumber = number
        dataset.SeriesDescription = "against" if how.reverse else "along"
        dataset.SeriesDescription += " reversed" if how.numbering else ""
        dataset.EchoTime, dataset.PatientPosition = 30, "HFS"
        dataset.AcquisitionDate, dataset.AcquisitionTime = "20200101", f"1200{2 * t:02d}"
        datasets.append(dataset)
    save(datasets, folder / str(number))


def test_mosaics_of_all_planes_and_directions(tmp_path: Path) -> None:
    """Reversed numbering that runs along row x column is the one case where directions differ.

    dcm2niix has one component of them negated there; that ours are the header's own is shown in
    `test_directions_of_mosaics`.
    """
    cases = list(product(PLANES, (False, True), (False, True)))
    for number, (plane, reverse, numbering) in enumerate(cases, start=1):
        made(number, plane, Mosaic(reverse=reverse, numbering=numbering), tmp_path / "in")
    (tmp_path / "out").mkdir()
    for series in read_folder([tmp_path / "in"])[0]:
        assert not convert_series(series.instances, tmp_path / "out", series.uid).refusals
    report = judged(dcm2niix(tmp_path / "in", tmp_path / "reference"), tmp_path / "out")
    assert len(report["pairs"]) == len(cases)
    for pair in report["pairs"]:
        assert pair["passed"], pair
        checks = pair["checks"]
        assert [checks[name] for name in ("order", "tr", "bval", "json")] == [True] * 4, pair
        assert checks["bvec"] == (pair["description"] != "along reversed"), pair
