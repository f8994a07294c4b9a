"""Diffusion series as the vendors write them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from tests.phantom import Matrix, Phantom, decimal

Direction = Sequence[float]
Writer = Callable[[Dataset, Direction | None], None]


def series(
    phantom: Phantom, directions: Sequence[Direction | None], write: Writer
) -> list[Dataset]:
    """One volume for each direction; None is b = 0."""
    datasets = []
    for t, direction in enumerate(directions):
        for k in range(phantom.size[2]):
            dataset = phantom.instance(k, t)
            dataset.AcquisitionNumber = t + 1
            write(dataset, direction)
            datasets.append(dataset)
    return datasets


def ge(phase: str, b_value: int = 1000) -> Writer:
    def write(dataset: Dataset, direction: Direction | None) -> None:
        dataset.Manufacturer = "GE MEDICAL SYSTEMS"
        dataset.InPlanePhaseEncodingDirection = phase
        private(dataset, 0x43, "GEMS_PARM_01", 0x39, "IS", [b_value if direction else 0, 8, 0, 0])
        values = decimal(np.array(direction or (0.0, 0.0, 0.0)))
        for offset, value in enumerate(values):
            private(dataset, 0x19, "GEMS_ACQU_01", 0xBB + offset, "DS", value)
        private(dataset, 0x19, "GEMS_ACQU_01", 0xE0, "DS", "6")

    return write


def uih(dataset: Dataset, direction: Direction | None) -> None:
    dataset.Manufacturer = "UIH"
    private(dataset, 0x65, "Image Private Header", 0x09, "FD", 1000.0 if direction else 0.0)
    private(dataset, 0x65, "Image Private Header", 0x37, "FD", list(direction or (0.0, 0.0, 0.0)))


def canon(phase: str) -> Writer:
    def write(dataset: Dataset, direction: Direction | None) -> None:
        dataset.Manufacturer = "CANON_MEC"
        dataset.InPlanePhaseEncodingDirection = phase
        if direction:
            dataset.DiffusionBValue = 1000.0
            dataset.ImageComments = "b=1000({:.6f},{:.6f},{:.6f})".format(*direction)

    return write


def old_philips(dataset: Dataset, direction: Direction | None) -> None:
    dataset.Manufacturer = "Philips Medical Systems"
    imaging = "Philips Imaging DD 001"
    private(dataset, 0x2001, imaging, 0x03, "FL", 1000.0 if direction else 0.0)
    private(dataset, 0x2001, imaging, 0x20, "LO", "DwiSE")
    for offset, value in enumerate(direction or (0.0, 0.0, 0.0)):
        private(dataset, 0x2005, "Philips MR Imaging DD 001", 0xB0 + offset, "FL", value)


def standard(dataset: Dataset, direction: Direction | None) -> None:
    """The standard's own attributes, in LPS (PS3.3 C.8.13.5.9)."""
    dataset.DiffusionBValue = 1000.0 if direction else 0.0
    if direction:
        dataset.DiffusionGradientOrientation = list(direction)


def private(dataset: Dataset, group: int, creator: str, low: int, vr: str, value: Any) -> None:
    block = dataset.private_block(group, creator, create=True)
    block.add_new(low, vr, value)


PLANES: dict[str, Matrix] = {
    "axial": np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]).T,
    "sagittal": np.array([[0.0, 1, 0], [0, 0, -1], [-1, 0, 0]]).T,
    "coronal": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]).T,
    "prone": np.array([[-1.0, 0, 0], [0, -1, 0], [0, 0, 1]]).T,
    "decubitus": np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]).T,
}
"""Columns: along a row, along a column, normal; LPS."""
