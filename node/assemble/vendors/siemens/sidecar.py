"""Sidecar fields of Siemens' private elements and protocols."""

from __future__ import annotations

import re
from typing import Final

from node.assemble.frames.model import PHASE, Facts, FrameHeader
from node.assemble.vendors.shared.phase_encoding import is_echo_planar, phase_direction
from node.assemble.vendors.siemens.private import Private
from node.assemble.vendors.siemens.protocol import Protocol, number, whole

_PARTIAL_FOURIER: Final = {1: 0.5, 2: 0.625, 4: 0.75, 8: 0.875}
"""sKSpace.ucPhasePartialFourier: eighths as powers of two; 16 is all of it."""
_COMBINED: Final = {1: "Sum of Squares", 2: "Adaptive Combine"}
"""ucCoilCombineMode."""
_CORRECTED: Final = frozenset({"DIS2D", "DIS3D"})
_PARALLEL: Final = re.compile(r"\bp(\d{1,3})(?!\d)")
_SLICES_AT_ONCE: Final = re.compile(r"\bs(\d{1,3})(?!\d)")
"""PATModeText: "p2 s3"."""
_MULTIBAND: Final = re.compile(r"\bMB(\d{1,3})(?!\d)")
"""Image Comments of the CMRR's sequences: "Unaliased MB3/PE3"."""
_SAME_TIME_S: Final = 0.004
"""s; slices excited at once have the same time but for rounding to 2.5 ms."""
_IMAGE_COMMENTS: Final = 0x00204000
_NANOSECONDS: Final = 1e9
_MICROSECONDS: Final = 1e6
_COILS: Final = (
    "asCoilSelectMeas[0].asList[0].sCoilElementID.tCoilID",
    "sCoilSelectMeas.aRxCoilSelectData[0].asList[0].sCoilElementID.tCoilID",
)
"""The first receive coil, by software line."""
_CURRENTS: Final = tuple(f"sGRADSPEC.alShimCurrent[{index}]" for index in range(5))

_SEQUENCE: Final = (
    ("ScanningSequence", 0x00180020),
    ("SequenceVariant", 0x00180021),
    ("ScanOptions", 0x00180022),
)
"""Attributes that enhanced images replace, and that XA has in the words of classic images."""
_OVERSAMPLING: Final = "sKSpace.dPhaseOversamplingForDialog"
"""Fraction of the field of view that is measured beyond it along the phase."""
_SETTINGS: Final = (
    ("BaseResolution", "sKSpace.lBaseResolution", 1.0),
    ("PhaseResolution", "sKSpace.dPhaseResolution", 1.0),
    ("PhaseOversampling", _OVERSAMPLING, 1.0),
    ("TxRefAmp", "sTXSPEC.asNucleusInfo[0].flReferenceAmplitude", 1.0),
    ("DelayTime", "lDelayTimeInTR", _MICROSECONDS),
    ("VendorReportedEchoSpacing", "sFastImaging.lEchoSpacing", _MICROSECONDS),
    ("RefLinesPE", "sPat.lRefLinesPE", 1.0),
)
"""Field, setting, and the number of the setting's units in one unit of the field."""


def polarity(private: Private) -> int:
    """Return 1 if phase is encoded towards the higher index of the image, -1 against, 0 unknown."""
    positive = private.number("PhaseEncodingDirectionPositive")
    return {1.0: 1, 0.0: -1}.get(-1.0 if positive is None else positive, 0)


def private_facts(private: Private, frame: FrameHeader) -> Facts:
    """Return the facts of an image that the standard's attributes do not have.

    Args:
        private: the private values of the image.
        frame: the image by its standard attributes.
    """
    facts = _of_protocol(private.protocol) | _acceleration(private) | readout(private, frame)
    dwell = private.number("RealDwellTime")
    if dwell and dwell > 0:
        facts["DwellTime"] = dwell / _NANOSECONDS
    for name, source in (
        ("ImageOrientationText", "ImageOrientationText"),
        ("ReceiveCoilActiveElements", "CoilString"),
    ):
        text = private.text(source)
        if text:
            facts[name] = text
    for name, tag in _SEQUENCE:
        words = "\\".join(private.texts(name))
        if words and not private.elements.text(tag):
            facts[name] = words
    if frame.kind == PHASE and whole(private.protocol, "lContrasts") == 2:
        facts |= _echoes(private.protocol)
    table = private.numbers("ImaRelTablePosition")
    if len(table) == 3:
        facts["TablePosition"] = list(table)
    named = (*frame.image_type, *private.texts("ImageTypeText"))
    facts["NonlinearGradientCorrection"] = not _CORRECTED.isdisjoint(named)
    if is_echo_planar(private.elements):
        spin = "SE" in private.elements.texts(0x00180020)
        echo = "Spin Echo EPI" if spin else "Gradient Echo EPI"
        several = "MultibandAccelerationFactor" in facts
        facts["PulseSequenceType"] = f"Multiband {echo}" if several else echo
    return facts


def readout(private: Private, frame: FrameHeader, times: tuple[float | None, ...] = ()) -> Facts:
    """Return echo spacing and readout time, s, and how many slices share one time.

    The bandwidth of a pixel along the phase is 1 / (effective echo spacing · lines of the image),
    and BIDS' readout time is from the centre of the first line to that of the last. With phase
    oversampling more lines are measured in that time than the image has, so that the spacing of the
    echoes is shorter.

    Args:
        private: the private values of the image.
        frame: a frame of the size of one slice.
        times: slice times of a volume, s.
    """
    facts: Facts = {}
    together = _together(times)
    if together > 1:
        facts["MultibandAccelerationFactor"] = together
    bandwidth = private.number("BandwidthPerPixelPhaseEncode")
    direction = phase_direction(private.elements)
    if not bandwidth or bandwidth <= 0:
        return facts
    facts["BandwidthPerPixelPhaseEncode"] = bandwidth
    lines = frame.rows if direction == "COL" else frame.columns
    if (direction or frame.rows == frame.columns) and lines > 1:
        spacing = 1.0 / (bandwidth * lines)
        facts["EffectiveEchoSpacing"] = spacing
        facts["TotalReadoutTime"] = spacing * (lines - 1)
        factor = _acceleration(private).get("ParallelReductionFactorInPlane")
        if isinstance(factor, int):
            more = 1.0 + max(number(private.protocol, _OVERSAMPLING) or 0.0, 0.0)
            facts["DerivedVendorReportedEchoSpacing"] = spacing * factor / more
    return facts


def _of_protocol(protocol: Protocol) -> Facts:
    facts: Facts = {}
    for name, setting, units in _SETTINGS:
        value = number(protocol, setting)
        if value:
            exact = whole(protocol, setting) if units == 1.0 else None
            facts[name] = value / units if exact is None else exact
    fraction = _PARTIAL_FOURIER.get(whole(protocol, "sKSpace.ucPhasePartialFourier") or 0)
    if fraction:
        facts["PartialFourier"] = fraction
    combined = _COMBINED.get(whole(protocol, "ucCoilCombineMode") or 0)
    if combined:
        facts["CoilCombinationMethod"] = combined
    sequence = protocol.get("tSequenceFileName")
    if sequence:
        facts["PulseSequenceDetails"] = sequence
    coil = next((protocol[name] for name in _COILS if protocol.get(name)), None)
    if coil:
        facts["ReceiveCoilName"] = coil
    consistency = protocol.get("sProtConsistencyInfo.tBaselineString")
    if consistency:
        facts["ConsistencyInfo"] = consistency
    shim = _shim(protocol)
    if shim:
        facts["ShimSetting"] = shim
    return facts


def _echoes(protocol: Protocol) -> Facts:
    """Return the two echo times of a phase difference, s."""
    times = [number(protocol, f"alTE[{index}]") for index in (0, 1)]
    names = ("EchoTime1", "EchoTime2")
    return {name: time / _MICROSECONDS for name, time in zip(names, times, strict=True) if time}


def _shim(protocol: Protocol) -> list[int]:
    """Return gradient offsets and currents of the shim coils; empty if they are absent."""
    for prefix in ("sGRADSPEC.", "sGRADSPEC.asGPAData[0]."):
        names = (*(f"{prefix}lOffset{axis}" for axis in "XYZ"), *_CURRENTS)
        found = [whole(protocol, name) for name in names]
        if found[0] is not None:
            return [value or 0 for value in found]
    return []


def _acceleration(private: Private) -> Facts:
    """Return the acceleration factors in and through the plane, and of simultaneous slices."""
    protocol, mode = private.protocol, private.text("ImaPATModeText")
    stated = _PARALLEL.search(mode)
    in_plane = whole(protocol, "sPat.lAccelFactPE") or (int(stated[1]) if stated else 0)
    facts: Facts = {}
    if in_plane > 0:
        facts["ParallelReductionFactorInPlane"] = in_plane
    through = whole(protocol, "sPat.lAccelFact3D")
    if through:
        facts["ParallelReductionFactorOutOfPlane"] = through
    at_once = _SLICES_AT_ONCE.search(mode) or _MULTIBAND.search(
        private.elements.text(_IMAGE_COMMENTS) or ""
    )
    several = whole(protocol, "sSliceAcceleration.lMultiBandFactor") or 0
    if several <= 1 and at_once:
        several = int(at_once[1])
    if several > 1:
        facts["MultibandAccelerationFactor"] = several
    return facts


def _together(times: tuple[float | None, ...]) -> int:
    """Return the number of slices with the earliest time if it divides the number of slices, or
    0."""
    known = [time for time in times if time is not None]
    if not known or len(known) < len(times):
        return 0
    first = min(known)
    count = sum(time - first < _SAME_TIME_S for time in known)
    return count if count < len(known) and len(known) % count == 0 else 0
