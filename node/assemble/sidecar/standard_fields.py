"""Sidecar fields that copy standard attributes, in BIDS names and units."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from node.assemble.frames.model import Fact, Facts
from node.assemble.order.dicom_times import (
    DAY,
    LONGEST_PAUSE,
    SECOND,
    acquired,
    date_time,
    elapsed,
    moment,
    time_of_day,
)
from node.dicom import Elements, cached, read_table, whole

__all__ = ["DAY", "IDENTIFYING", "LONGEST_PAUSE", "SECOND", "acquired", "date_time", "elapsed"]
__all__ += ["frame_times", "moment", "read_facts", "time_of_day"]

Reader = Callable[[Elements, int], Fact | None]


def _text(elements: Elements, tag: int) -> Fact | None:
    return elements.text(tag)


def _whole(elements: Elements, tag: int) -> Fact | None:
    """Return all values in one string, unchanged."""
    return elements.value(tag) or None


def _number(elements: Elements, tag: int) -> Fact | None:
    value = elements.number(tag)
    exact = whole(value)
    return value if exact is None else exact


def _integer(elements: Elements, tag: int) -> Fact | None:
    return elements.integer(tag)


def _milliseconds(elements: Elements, tag: int) -> Fact | None:
    value = elements.number(tag)
    return None if value is None else value / 1000.0


def _positive_milliseconds(elements: Elements, tag: int) -> Fact | None:
    """Return a time in s; None for 0, which some scanners write without inversion."""
    value = elements.number(tag)
    return value / 1000.0 if value else None


def _clock(elements: Elements, tag: int) -> Fact | None:
    """Return a time of day in s since midnight."""
    time = time_of_day(elements.text(tag))
    return None if time is None else time / SECOND


def _moment(elements: Elements, tag: int) -> Fact | None:
    """Return DT in µs, as `date_time` counts them."""
    return date_time(elements.text(tag))


def _series_start(elements: Elements, tag: int) -> Fact | None:
    """Return Series Time on Series Date (0008,0021), µs."""
    return moment(elements.text(0x00080021), elements.text(tag))


def _numbers(elements: Elements, tag: int) -> Fact | None:
    values = elements.numbers(tag)
    return list(values) if values else None


def _row_or_column(elements: Elements, tag: int) -> Fact | None:
    """Return ROW or COL; enhanced images write COLUMN (C.8.13.5.3)."""
    text = elements.text(tag)
    return "COL" if text == "COLUMN" else text


def _is_some(elements: Elements, tag: int) -> Fact | None:
    """Return whether a technique is used: NONE means that it is not (C.8.13.5.1)."""
    text = elements.text(tag)
    return None if text is None else text != "NONE"


def _spoiling(elements: Elements, tag: int) -> Fact | None:
    """Return how transverse magnetisation is spoiled (C.8.13.5.2), in terms of BIDS."""
    return _SPOILING.get(elements.text(tag) or "")


def _phase_lines(elements: Elements, tag: int) -> Fact | None:
    """Return the phase encoding lines of Acquisition Matrix: frequency rows, frequency columns,
    phase rows, phase columns, of which one of each pair is zero (PS3.3 C.8.3.1.1).
    """
    values = elements.numbers(tag)
    return whole(max(values[2:])) or None if len(values) == 4 else None


INJECTED: Final = "RadiopharmaceuticalStartSeconds"
"""Fact of the injection's time of day, s."""
INJECTED_MOMENT: Final = "RadiopharmaceuticalStartMoment"
"""Fact of the injection's date and time, µs."""
SERIES_START: Final = "SeriesStartMoment"
"""Fact of Series Date and Time, µs, to which PET is corrected for decay (PS3.3 C.8.9.1)."""
BETWEEN_POSITIONS: Final = "TemporalResolution"
"""Fact of Temporal Resolution (0020,0110), s."""
NO_FIELDS: Final = frozenset({INJECTED, INJECTED_MOMENT, SERIES_START, BETWEEN_POSITIONS})
"""Facts from which fields are computed, and which are not fields themselves."""

_SPOILING: Final = {"RF": "RF", "GRADIENT": "GRADIENT", "RF_AND_GRADIENT": "COMBINED"}
_DESCRIPTIVE: Final[tuple[tuple[str, int, Reader], ...]] = (
    ("MagneticFieldStrength", 0x00180087, _number),
    ("ImagingFrequency", 0x00180084, _number),
    ("ManufacturersModelName", 0x00081090, _text),
    ("InstitutionName", 0x00080080, _text),
    ("InstitutionalDepartmentName", 0x00081040, _text),
    ("InstitutionAddress", 0x00080081, _text),
    ("DeviceSerialNumber", 0x00181000, _text),
    ("StationName", 0x00081010, _text),
    ("BodyPart", 0x00180015, _text),
    ("PatientPosition", 0x00185100, _text),
    ("ProcedureStepDescription", 0x00400254, _text),
    ("SoftwareVersions", 0x00181020, _whole),
    ("MRAcquisitionType", 0x00180023, _text),
    ("StudyDescription", 0x00081030, _text),
    ("SeriesDescription", 0x0008103E, _text),
    ("ProtocolName", 0x00181030, _text),
    ("ScanningSequence", 0x00180020, _whole),
    ("SequenceVariant", 0x00180021, _whole),
    ("ScanOptions", 0x00180022, _whole),
    ("SequenceName", 0x00180024, _text),
    ("RepetitionTime", 0x00180080, _milliseconds),
    ("InversionTime", 0x00180082, _positive_milliseconds),
    ("FlipAngle", 0x00181314, _number),
    ("EchoTrainLength", 0x00180091, _integer),
    ("PhaseEncodingSteps", 0x00180089, _integer),
    ("AcquisitionMatrixPE", 0x00181310, _phase_lines),
    ("SpoilingState", 0x00189016, _is_some),
    ("SpoilingType", 0x00189016, _spoiling),
    ("MTState", 0x00189020, _is_some),
    ("AcquisitionDuration", 0x00189073, _number),
    ("NumberOfAverages", 0x00180083, _number),
    ("PercentSampling", 0x00180093, _number),
    ("PercentPhaseFOV", 0x00180094, _number),
    ("PixelBandwidth", 0x00180095, _number),
    ("SAR", 0x00181316, _number),
    ("ReceiveCoilName", 0x00181250, _text),
    ("TransmitCoilName", 0x00181251, _text),
    ("InPlanePhaseEncodingDirectionDICOM", 0x00181312, _row_or_column),
    ("FrequencyEncodingSteps", 0x00189058, _integer),
    ("ParallelReductionFactorInPlane", 0x00189069, _number),
    ("ParallelReductionFactorOutOfPlane", 0x00189155, _number),
    ("ParallelAcquisitionTechnique", 0x00189078, _text),
    ("PartialFourierEnabled", 0x00189081, _text),
    ("PartialFourierDirection", 0x00189036, _text),
    ("ContrastBolusAgent", 0x00180010, _text),
    ("KVP", 0x00180060, _number),
    ("XRayTubeCurrent", 0x00181151, _number),
    ("XRayExposure", 0x00181152, _number),
    ("ExposureTime", 0x00181150, _milliseconds),
    ("ConvolutionKernel", 0x00181210, _whole),
    ("GantryDetectorTilt", 0x00181120, _number),
    ("Units", 0x00541001, _text),
    ("DecayCorrection", 0x00541102, _text),
    ("AttenuationCorrectionMethod", 0x00541101, _text),
    ("ReconstructionMethod", 0x00541103, _text),
    ("ScatterCorrectionMethod", 0x00541105, _text),
    ("RandomsCorrectionMethod", 0x00541100, _text),
    ("DecayFactor", 0x00541321, _number),
    ("DoseCalibrationFactor", 0x00541322, _number),
    ("ScatterFraction", 0x00541323, _number),
    ("FrameDuration", 0x00181242, _milliseconds),
    ("SeriesType", 0x00541000, _whole),
    ("CollimatorType", 0x00181181, _text),
    ("CTDIvol", 0x00189345, _number),
    ("SpiralPitchFactor", 0x00189311, _number),
    ("SingleCollimationWidth", 0x00189306, _number),
    ("TotalCollimationWidth", 0x00189307, _number),
    ("FilterType", 0x00181160, _text),
    ("FocalSpots", 0x00181190, _numbers),
    ("RevolutionTime", 0x00189305, _number),
    ("ImageComments", 0x00204000, _text),
    ("TablePosition", 0x00189327, _number),
    (BETWEEN_POSITIONS, 0x00200110, _positive_milliseconds),
    (SERIES_START, 0x00080031, _series_start),
)

_IDENTIFYING: Final[tuple[tuple[str, int, Reader], ...]] = (
    ("PatientName", 0x00100010, _text),
    ("PatientID", 0x00100020, _text),
    ("AccessionNumber", 0x00080050, _text),
    ("PatientBirthDate", 0x00100030, _text),
    ("PatientSex", 0x00100040, _text),
    ("PatientWeight", 0x00101030, _number),
    ("PatientAge", 0x00101010, _text),
    ("PatientSize", 0x00101020, _number),
    ("ReferringPhysicianName", 0x00080090, _text),
    ("StudyID", 0x00200010, _text),
    ("StudyDate", 0x00080020, _text),
    ("StudyTime", 0x00080030, _text),
)

IDENTIFYING: Final = frozenset(
    {name for name, _, _ in _IDENTIFYING}
    | {"AcquisitionDateTime", "InstitutionAddress", "DeviceSerialNumber", "StationName"}
)
"""Facts that identify a person, a date or a machine; sidecars leave them out by default."""

DATES: Final = frozenset({"AcquisitionDateTime", "StudyDate", "StudyTime", "StudyID"})
"""Those of them that identify a date or a study, and no person."""


_ENHANCED: Final[tuple[tuple[str, int, Reader], ...]] = (
    ("AcquisitionMatrixPE", 0x00189231, _integer),
    ("PhaseEncodingSteps", 0x00189231, _integer),
    ("InversionTime", 0x00189079, _positive_milliseconds),
    ("SequenceName", 0x00189005, _text),
    ("ImagingFrequency", 0x00189098, _number),
)
_OF_FRAMES: Final[tuple[tuple[str, int, Reader], ...]] = (
    ("RepetitionTime", 0x00180080, _milliseconds),
    ("InversionTime", 0x00189079, _positive_milliseconds),
    ("FrameDuration", 0x00189220, _milliseconds),
)
"""Times that each frame of an enhanced image states (C.8.13.5.2, C.7.6.16.2.2)."""
_FRAME_GROUPS: Final = 0x52009230
_PET: Final = "PT"
_DOSES: Final = 0x00540016
_CODE_MEANING: Final = 0x00080104
_ISOTOPE: Final[tuple[tuple[str, int, Reader], ...]] = (
    ("Radiopharmaceutical", 0x00180031, _text),
    ("RadionuclidePositronFraction", 0x00181076, _number),
    ("RadionuclideTotalDose", 0x00181074, _number),
    ("RadionuclideHalfLife", 0x00181075, _number),
    ("RadiopharmaceuticalSpecificActivity", 0x00181077, _number),
    (INJECTED, 0x00181072, _clock),
    (INJECTED_MOMENT, 0x00181078, _moment),
)
BECQUEREL_A_MEGABECQUEREL: Final = 1e6


def _isotope(elements: Elements) -> Facts:
    """Read the Radiopharmaceutical Information Sequence (PS3.3 C.8.9.2).

    RadionuclideTotalDose stays in DICOM's Bq, as in dcm2niix; BIDS' InjectedRadioactivity is in
    MBq.
    """
    item = elements.item(_DOSES)
    if item is None:
        return {}
    facts: Facts = read_table(item, _ISOTOPE)
    dose = facts.get("RadionuclideTotalDose")
    if isinstance(dose, int | float):
        facts["InjectedRadioactivity"] = dose / BECQUEREL_A_MEGABECQUEREL
        facts["InjectedRadioactivityUnits"] = "MBq"
    for name, tag in (("TracerRadionuclide", 0x00540300), ("TracerName", 0x00540304)):
        coded = item.item(tag)
        meaning = coded.text(_CODE_MEANING) if coded else None
        if meaning:
            facts[name] = meaning
    return facts


def _enhanced(elements: Elements) -> Facts:
    """Read the attributes that enhanced MR has in place of classic ones (C.8.13.5)."""
    facts: Facts = read_table(elements, _ENHANCED)
    if elements.text(0x00189077) == "NO":
        facts["ParallelReductionFactorInPlane"] = 1
    return facts


def read_facts(elements: Elements) -> Facts:
    """Read every standard fact that an instance has."""
    facts: Facts = read_table(elements, _DESCRIPTIVE)
    facts |= read_table(elements, _IDENTIFYING)
    facts |= cached(elements, _isotope)
    enhanced = cached(elements, _enhanced)
    facts |= {name: value for name, value in enhanced.items() if name not in facts}
    stand_in = facts.get("SeriesDescription") or facts.get("SequenceName")
    if not facts.get("ProtocolName") and stand_in:
        facts["ProtocolName"] = stand_in
    return facts


def frame_times(elements: Elements) -> Facts:
    """Read the times of one frame of an enhanced image; empty for a classic image.

    Args:
        elements: the instance, with the frame's functional groups laid over it.
    """
    if _FRAME_GROUPS not in elements:
        return {}
    facts: Facts = read_table(elements, _OF_FRAMES)
    if elements.text(0x00080060) != _PET:
        facts.pop("FrameDuration", None)
    return facts
