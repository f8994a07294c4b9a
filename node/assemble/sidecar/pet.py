"""The PET fields of BIDS: frames, times relative to the scan, decay and reconstruction."""

from __future__ import annotations

import re
from typing import Final

from node.assemble.frames.model import Facts
from node.assemble.order.dicom_times import DAY, SECOND, elapsed
from node.assemble.order.volume_times import one_value
from node.assemble.series import VolumePlan
from node.assemble.sidecar.pet_decay import began, corrected_to, injected

DIGITS: Final = 6
_UNITS: Final = {"BQML": "Bq/mL"}
"""Units (0054,1001) that BIDS spells differently."""
_FRAME_ARRAYS: Final = ("FrameDuration", "DecayFactor", "ScatterFraction")
"""Facts of frames that BIDS lists for each volume."""
_STEPS: Final = re.compile(r"(\d+)i(\d+)s\b")
"""Iterations and subsets in Reconstruction Method (0054,1103): "OSEM3D 4i21s"."""
_FILTER: Final = re.compile(r"(\D+?)\s*(\d+(?:\.\d+)?)")
"""Convolution Kernel (0018,1210) of a smoothed image: "XYZ Gauss2.00"."""


def pet_fields(volume: VolumePlan, facts: Facts) -> dict[str, object]:
    """Return the PET fields for which the header has the attributes.

    All times count from the first frame of the scan. Acquisition Time is when data acquisition of
    an image began (PS3.3 C.8.9.4). Values that differ between the slices of a frame, as with
    several beds, are left out.

    Args:
        volume: the plan.
        facts: facts of its leading piece.
    """
    found: dict[str, object] = {}
    for name in _FRAME_ARRAYS:
        agreed = all(one_value([row], name) is not None for row in volume.grid)
        found[name] = [row[0].fact(name) for row in volume.grid] if agreed else None
    if found["DecayFactor"]:
        found["DecayCorrectionFactor"] = found["DecayFactor"]
    found |= _times(volume)
    found["Units"] = _UNITS.get(str(facts.get("Units")), facts.get("Units"))
    found["AttenuationCorrection"] = facts.get("AttenuationCorrectionMethod")
    if not facts.get("TracerName"):
        found["TracerName"] = facts.get("Radiopharmaceutical")
    return found | _reconstruction(facts)


def _times(volume: VolumePlan) -> dict[str, object]:
    references = [
        time / 1000.0 for row in volume.grid if (time := row[0].frame.reference_time) is not None
    ]
    found: dict[str, object] = {}
    if len(references) == len(volume.grid) > 1:
        found["FrameReferenceTime"] = [round(time, DIGITS) for time in references]
    starts = began(volume.grid)
    if starts is None:
        return found
    zero = starts[0]
    found["FrameTimesStart"] = [elapsed(zero, start) / SECOND for start in starts]
    seconds = zero % DAY // SECOND
    found["TimeZero"] = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    found["ScanStart"] = 0
    found["InjectionStart"] = injected(volume, zero)
    stated = volume.first.fact("DecayCorrection")
    if stated is not None:
        found["ImageDecayCorrected"] = stated != "NONE"
        found["ImageDecayCorrectionTime"] = corrected_to(volume, zero)
    return found


def _reconstruction(facts: Facts) -> dict[str, object]:
    method = str(facts.get("ReconstructionMethod") or "")
    found: dict[str, object] = {"ReconMethodName": method or None}
    steps = _STEPS.search(method)
    if steps is not None:
        found["ReconMethodParameterLabels"] = ["subsets", "iterations"]
        found["ReconMethodParameterUnits"] = ["none", "none"]
        found["ReconMethodParameterValues"] = [int(steps[2]), int(steps[1])]
    smoothed = _FILTER.fullmatch(str(facts.get("ConvolutionKernel") or ""))
    if smoothed is not None:
        found["ReconFilterType"] = smoothed[1]
        found["ReconFilterSize"] = float(smoothed[2])
    return found
