"""Arterial spin labeling of XA: the kind of labeling, and the delay after it."""

from __future__ import annotations

from typing import Final

from node.assemble.frames.model import Facts
from node.assemble.sidecar.spin_labeling import kind_of_labeling
from node.assemble.vendors.siemens.private import Private

_MACRO: Final = 0x00189251
"""MR Arterial Spin Labeling Sequence, which only such scans have."""
_MILLISECONDS: Final = 1000.0


def private_labeling(private: Private) -> Facts:
    """Return the spin labeling fields of XA's private elements, in s; empty for other scans."""
    if _MACRO not in private.elements:
        return {}
    facts = kind_of_labeling(private.text("LabelingType"))
    delay = private.number("PostLabelingDelay")
    if delay and delay > 0:
        facts["PostLabelingDelay"] = delay / _MILLISECONDS
    return facts
