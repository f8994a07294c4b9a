"""GE's private elements: diffusion, slice times, phase encoding and readout."""

from __future__ import annotations

import math
from typing import Final

import msgspec

from node.assemble.frames.acquisition import IMAGE_CLASS, in_order
from node.assemble.frames.model import IMAGINARY, MAGNITUDE, PHASE, REAL, Facts, FrameHeader
from node.assemble.vendors.ge.diffusion import diffusion
from node.assemble.vendors.ge.polarity import polarity, reversed_rows, turned_rows
from node.assemble.vendors.ge.protocol import Protocol, read_protocol, release_of, slice_times
from node.assemble.vendors.shared.phase_encoding import (
    acquired_lines,
    is_echo_planar,
    reconstructed_lines,
)
from node.dicom import Elements

NAME: Final = "GE"

_ACQUISITION: Final = "GEMS_ACQU_01"
_RELATIONS: Final = "GEMS_RELA_01"
_PARAMETERS: Final = "GEMS_PARM_01"
_KINDS: Final = (MAGNITUDE, PHASE, REAL, IMAGINARY)
"""Values 0..3 of Image Type (0043,xx2F)."""
_POLARITY_NAMES: Final = {1: "Unflipped", -1: "Flipped"}
_MOST_BANDS: Final = 32
_MOST_SLICES: Final = 1024
SMALLEST_R_FACTOR: Final = 1 / 64
"""Reciprocal of the strongest acceleration that any coil allows."""


def refine(elements: Elements, frame: FrameHeader) -> FrameHeader:
    """Add diffusion, slice time, phase encoding and readout; see `node.assemble.vendors.Vendor`."""
    found: dict[str, object] = _kind(elements, frame)
    reverse = reversed_rows(elements, frame, _locations(elements))
    if reverse:
        found |= turned_rows(frame)
    facts: Facts = _acceleration(elements)
    if elements.text(0x00180023) != "3D":
        found |= diffusion(elements, frame)
    if is_echo_planar(elements):
        protocol = read_protocol(elements)
        found["phase_polarity"] = sign = -polarity(elements) if reverse else polarity(elements)
        if sign:
            facts["PhaseEncodingPolarityGE"] = _POLARITY_NAMES[sign]
        facts |= _readout(elements) | _repetition(elements, protocol)
        if elements.text(0x00180023) == "2D":
            found["slice_time"] = _slice_time(elements, frame, protocol)
    else:
        found |= _class(elements, frame)
    return msgspec.structs.replace(frame, **found, facts=frame.facts | facts)


def tiles(elements: Elements, frame: FrameHeader) -> tuple[FrameHeader, ...]:  # noqa: ARG001
    """Return nothing: GE stores every slice as an image of its own."""
    return ()


def _kind(elements: Elements, frame: FrameHeader) -> dict[str, object]:
    number = elements.integer(elements.private(0x0043, _PARAMETERS, 0x2F), "SS")
    if frame.kind or number is None or not 0 <= number < len(_KINDS):
        return {}
    if frame.image_type[:1] == ("DERIVED",):
        return {}
    return {"kind": _KINDS[number]}


def _class(elements: Elements, frame: FrameHeader) -> dict[str, object]:
    """Add (0043,xx30) to the settings: a B0 map and its magnitude differ in it alone."""
    number = elements.integer(elements.private(0x0043, _PARAMETERS, 0x30), "SS")
    if number is None:
        return {}
    return {"settings": in_order(dict(frame.settings) | {IMAGE_CLASS: float(number)})}


def _locations(elements: Elements) -> int | None:
    """Return Locations in Acquisition (0021,xx4F)."""
    return elements.integer(elements.private(0x0021, _RELATIONS, 0x4F), "SS")


def _acceleration(elements: Elements) -> Facts:
    """Read Asset R Factors (0043,xx83), reciprocals, and Multiband Parameters (0043,xxB6)."""
    facts: Facts = {}
    factors = elements.numbers(elements.private(0x0043, _PARAMETERS, 0x83), "DS")
    for name, factor in zip(
        ("ParallelReductionFactorInPlane", "ParallelReductionFactorOutOfPlane"),
        factors,
        strict=False,
    ):
        if SMALLEST_R_FACTOR <= factor <= 1:
            facts[name] = round(1.0 / factor, 4)
    bands = _bands(elements)
    if bands > 1:
        facts["MultibandAccelerationFactor"] = bands
    return facts


def _bands(elements: Elements) -> int:
    parts = elements.texts(elements.private(0x0043, _PARAMETERS, 0xB6))
    bands = int(parts[0]) if parts and parts[0].isdecimal() and len(parts[0]) <= 2 else 1
    return bands if 1 <= bands <= _MOST_BANDS else 1


def _readout(elements: Elements) -> Facts:
    """Return echo spacing and readout time, s, of the stored matrix, as FSL defines them.

    Lines are acquired in pairs, with partial Fourier in fours; the spacing of the acquired lines
    (0043,xx2C), µs, is that of the stored ones after interpolation.
    """
    spacing = elements.number(elements.private(0x0043, _PARAMETERS, 0x2C), "SS")
    acquired, stored = acquired_lines(elements), reconstructed_lines(elements)
    if not spacing or spacing < 0 or not acquired or not stored or min(acquired, stored) < 2:
        return {}
    reduction = _acceleration(elements).get("ParallelReductionFactorInPlane", 1.0)
    if not isinstance(reduction, int | float):
        return {}
    step = 4 if "PFF" in elements.texts(0x00180022) else 2
    lines = math.ceil(round(acquired / reduction / step, 3)) * step
    total = (lines - 1) * spacing * 1e-6 * (stored - 1) / (acquired - 1)
    return {"TotalReadoutTime": total, "EffectiveEchoSpacing": total / (stored - 1)}


def _repetition(elements: Elements, protocol: Protocol | None) -> Facts:
    """Return the time between volumes: Repetition Time does not count the pause after each.

    The pause is Group Delay (0043,xx7C), s, of real-time fMRI, or the protocol's of multi-phase.
    """
    repetition = elements.number(0x00180080)
    delay = elements.number(elements.private(0x0043, _PARAMETERS, 0x7C), "FL") or 0.0
    if not delay and protocol is not None and not protocol.uneven:
        delay = protocol.delay
    if not repetition or delay <= 0:
        return {}
    return {"RepetitionTime": round(repetition / 1000.0 + delay, 6)}


def _slice_time(elements: Elements, frame: FrameHeader, protocol: Protocol | None) -> float | None:
    """Return when in its volume a slice is excited, s.

    Instances are numbered volume by volume, in each as the slices were prescribed.
    """
    repetition = elements.number(0x00180080)
    count = _locations(elements)
    if protocol is None:
        multi_phase = "MP_GEMS" in elements.texts(0x00180022) and _bands(elements) == 1
        trigger = frame.trigger_time
        return trigger / 1000.0 if multi_phase and trigger is not None else None
    if protocol.uneven or not repetition or not count or not frame.number:
        return None
    if not 1 <= count <= _MOST_SLICES or frame.number < 1:
        return None
    times = slice_times(
        count,
        _bands(elements),
        repetition / 1000.0,
        interleaved=protocol.interleaved,
        release=release_of(elements),
    )
    return times[(frame.number - 1) % count]
