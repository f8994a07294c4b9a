"""Arterial spin labeling: how blood was labeled, and which volumes are label, control or M0."""

from __future__ import annotations

from typing import Final

from node.assemble.frames.model import Facts
from node.assemble.series import VolumePlan
from node.assemble.sidecar.standard_fields import frame_times
from node.dicom import Elements

_MACRO: Final = 0x00189251
"""MR Arterial Spin Labeling Sequence (PS3.3 C.8.13.5.14)."""
_CONTRAST: Final = 0x00189250
_TYPES: Final = {"PSEUDOCONTINUOUS": "PCASL", "CONTINUOUS": "CASL", "PULSED": "PASL"}
_CONTEXT: Final = 0x00189257
_CONTEXTS: Final = {"CONTROL": "control", "LABEL": "label", "M_ZERO_SCAN": "m0scan"}
"""ASL Context, in BIDS' words for the type of a volume."""
_SLAB, _THICKNESS, _NORMAL, _DURATION = 0x00189260, 0x00189254, 0x00189255, 0x00189258
_CRUSHED, _FLOW_LIMIT = 0x00189259, 0x0018925A
_CUT_OFF, _CUT_OFFS, _CUT_OFF_HOW, _CUT_OFF_DELAY = 0x0018925C, 0x0018925D, 0x0018925E, 0x0018925F
_FLAGS: Final = {"YES": True, "NO": False}
_MILLISECONDS: Final = 1000.0
CONTEXT: Final = "ASLContext"
"""Fact of a frame that goes into the context table beside the image, not into the sidecar."""


def kind_of_labeling(stated: str) -> Facts:
    """Return ArterialSpinLabelingType for the standard's word; empty for other words."""
    kind = _TYPES.get(stated)
    return {"ArterialSpinLabelingType": kind} if kind else {}


def labeling(elements: Elements) -> Facts:
    """Return the times of an enhanced frame, and the spin labeling fields of BIDS, in s and mm.

    The standard has no attributes for the delay after labeling and for background suppression.

    Args:
        elements: the instance, with the frame's functional groups laid over it.
    """
    times = frame_times(elements)
    macro = elements.item(_MACRO)
    if macro is None:
        return times
    facts = times | kind_of_labeling(elements.text(_CONTRAST) or macro.text(_CONTRAST) or "")
    context = _CONTEXTS.get(macro.text(_CONTEXT) or "")
    if context:
        facts[CONTEXT] = context
    return facts | _slab(macro) | _suppression(macro)


def volume_types(volume: VolumePlan) -> list[str]:
    """Return control, label or m0scan for every volume; empty if any is not stated."""
    found: list[str] = []
    for row in volume.grid:
        stated = {str(piece.fact(CONTEXT) or "") for piece in row}
        if len(stated) > 1 or "" in stated:
            return []
        found += stated
    return found


def labeling_fields(volume: VolumePlan) -> Facts:
    """Return the sidecar fields that follow from the types of all volumes."""
    types = volume_types(volume)
    if not types:
        return {}
    fields: Facts = {"TotalAcquiredPairs": min(types.count("control"), types.count("label"))}
    return fields | ({"M0Type": "Included"} if "m0scan" in types else {})


def _slab(macro: Elements) -> Facts:
    """Read the first slab in which blood was labeled."""
    slab = macro.item(_SLAB)
    if slab is None:
        return {}
    facts: Facts = {}
    duration, thickness = slab.number(_DURATION), slab.number(_THICKNESS)
    normal = slab.numbers(_NORMAL)
    if duration and duration > 0:
        facts["LabelingDuration"] = duration / _MILLISECONDS
    if thickness and thickness > 0:
        facts["LabelingSlabThickness"] = thickness
    if len(normal) == 3:
        facts["LabelingOrientation"] = list(normal)
    return facts


def _suppression(macro: Elements) -> Facts:
    """Read whether flowing blood was crushed and whether the bolus was cut off."""
    facts: Facts = {}
    crushed, cut = _FLAGS.get(macro.text(_CRUSHED) or ""), _FLAGS.get(macro.text(_CUT_OFF) or "")
    if crushed is not None:
        facts["VascularCrushing"] = crushed
        limit = macro.number(_FLOW_LIMIT)
        if crushed and limit:
            facts["VascularCrushingVENC"] = limit
    if cut is not None:
        facts["BolusCutOffFlag"] = cut
        timing = macro.item(_CUT_OFFS)
        delay = timing.number(_CUT_OFF_DELAY) if timing else None
        how = timing.text(_CUT_OFF_HOW) if timing else None
        if cut and delay:
            facts["BolusCutOffDelayTime"] = delay / _MILLISECONDS
        if cut and how:
            facts["BolusCutOffTechnique"] = how
    return facts
