"""Arterial spin labeling: how blood was labeled, for how long, and how long before the image."""

from __future__ import annotations

from typing import Final

from node.assemble.model import Facts
from node.assemble.vendors.siemens_private import Private

_MACRO: Final = 0x00189251
"""MR Arterial Spin Labeling Sequence (PS3.3 C.8.13.5.14)."""
_CONTRAST: Final = 0x00189250
_SLAB: Final = 0x00189260
_DURATION: Final = 0x00189258
_TYPES: Final = {"PSEUDOCONTINUOUS": "PCASL", "CONTINUOUS": "CASL", "PULSED": "PASL"}
_MILLISECONDS: Final = 1000.0


def labeling(private: Private) -> Facts:
    """Return what BIDS wants of a scan with spin labeling, in s; empty for others.

    The standard's macro has the length of the label's pulses; the kind of labeling and the delay
    after it are XA's own.
    """
    macro = private.elements.item(_MACRO)
    if macro is None:
        return {}
    facts: Facts = {}
    kind = _TYPES.get(macro.text(_CONTRAST) or private.text("LabelingType"))
    if kind:
        facts["ArterialSpinLabelingType"] = kind
    slab = macro.item(_SLAB)
    duration = slab.number(_DURATION) if slab else None
    if duration and duration > 0:
        facts["LabelingDuration"] = duration / _MILLISECONDS
    delay = private.number("PostLabelingDelay")
    if delay and delay > 0:
        facts["PostLabelingDelay"] = delay / _MILLISECONDS
    return facts
