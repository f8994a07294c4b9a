"""What dcm2niix makes of the same files, and the judge that compares."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.running import shared

_CORE = """
    Modality Manufacturer ManufacturersModelName MagneticFieldStrength SeriesNumber
    SeriesDescription ProtocolName ImageType SliceThickness SpacingBetweenSlices EchoTime EchoTime1
    EchoTime2 EchoNumber RepetitionTime RepetitionTimeExcitation InversionTime FlipAngle SliceTiming
    SliceEncodingDirection PhaseEncodingDirection PhaseEncodingAxis TotalReadoutTime
    EstimatedTotalReadoutTime EffectiveEchoSpacing EstimatedEffectiveEchoSpacing PixelBandwidth
    DwellTime MultibandAccelerationFactor ParallelReductionFactorInPlane PartialFourier
    AcquisitionMatrixPE ReconMatrixPE PercentPhaseFOV ImageOrientationPatientDICOM PatientPosition
    MRAcquisitionType ScanningSequence SequenceVariant Units KVP ConvolutionKernel XRayTubeCurrent
    ExposureTime
"""
CORE_FIELDS = frozenset(_CORE.split())
"""Fields that analysis software acts upon, as the judge counts them."""


def dcm2niix(source: Path, target: Path) -> Path:
    """Run dcm2niix as the judge wants its reference made."""
    tool = Path(sys.executable).with_name("dcm2niix")
    if not tool.exists():
        pytest.skip("needs dcm2niix (make test installs it)")
    target.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [tool, "-z", "n", "-b", "y", "-ba", "n", "-f", "%j__s%s_e%e", "-o", target, source],
        check=False,  # it fails on a folder when one file is odd
        capture_output=True,
        timeout=300,
    )
    return target


def judged(reference: Path, candidate: Path, *options: str) -> dict[str, Any]:
    """The judge's report as its JSON."""
    report = candidate.parent / f"judge-{candidate.name}.json"
    subprocess.run(
        [
            sys.executable, shared("checks/judge.py"), reference, candidate,
            "--json", report, *options,
        ],
        check=False,
        capture_output=True,
        timeout=300,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(report.read_text())
    return found
