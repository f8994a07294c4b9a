"""GE's echo-planar series."""

from __future__ import annotations

import gzip
from struct import pack

from pydicom.dataset import Dataset

from tests.phantom import Phantom
from tests.unit.assemble.weighted import private


def protocol(text: str) -> bytes:
    """A Protocol Data Block: its length, then compressed lines of names and values."""
    packed = gzip.compress(f'SLICEORDER "1"\nNOSLC "5"\n{text}'.encode("latin-1"), mtime=0)
    block = pack("<I", len(packed)) + packed
    return block + b"\0" * (len(block) % 2)


def epi(
    phantom: Phantom, phase: str = "COL", text: str = "", spacing: int | None = None
) -> list[Dataset]:
    """Volumes of 2 s, interleaved."""
    datasets = phantom.instances()
    columns, rows, slices = phantom.size
    for dataset in datasets:
        dataset.Manufacturer = "GE MEDICAL SYSTEMS"
        dataset.SoftwareVersions = ["27", "LX", "MR Software release:RX27.0_R03_1831.a"]
        dataset.ScanningSequence = ["EP", "GR"]
        dataset.MRAcquisitionType = "2D"
        dataset.RepetitionTime = 2000
        dataset.InPlanePhaseEncodingDirection = phase
        dataset.AcquisitionMatrix = (
            [columns, 0, 0, rows] if phase == "COL" else [0, rows, columns, 0]
        )
        private(dataset, 0x25, "GEMS_SERS_01", 0x1B, "OB", protocol(text))
        private(dataset, 0x21, "GEMS_RELA_01", 0x4F, "SS", slices)
        if spacing is not None:
            private(dataset, 0x43, "GEMS_PARM_01", 0x2C, "SS", spacing)
    return datasets
