"""The BIDS sidecar of one volume, its axes those of the array as written."""

from __future__ import annotations

import math
from datetime import date
from typing import Final

from node.assemble.frames.model import (
    FIELD_MAP,
    IMAGINARY,
    MAGNITUDE,
    PHASE,
    REAL,
    FrameHeader,
    InstanceHeader,
)
from node.assemble.order.dicom_times import DAY, SECOND, earliest
from node.assemble.order.volume_times import Times, one_value, times_of
from node.assemble.series import VolumePlan
from node.assemble.sidecar.pet import pet_fields
from node.assemble.sidecar.spin_labeling import CONTEXT, labeling_fields
from node.assemble.sidecar.standard_fields import DATES, IDENTIFYING, NO_FIELDS
from node.assemble.sidecar.timing_fields import repetition_fields, timing_fields
from node.assemble.stacks.slice_sorting import Piece
from node.assemble.vendors import MAKERS

Sidecar = dict[str, object]

_UNNAMED_MAGNITUDE: Final = MAKERS - {"Siemens"}
"""Makers that do not mark magnitude images. Siemens marks them M, except diffusion images, whose
kind is then not known."""
_KIND_WORDS: Final = {
    MAGNITUDE: "MAGNITUDE",
    PHASE: "PHASE",
    REAL: "REAL",
    IMAGINARY: "IMAGINARY",
    FIELD_MAP: "FIELDMAPHZ",
}
_TIMES: Final = ("RepetitionTime", "InversionTime", "ExposureTime", "AcquisitionDuration")
"""Fields that may differ between the frames of a volume."""
SAME_ECHO_MS: Final = 0.1
"""ms; echo times of one echo differ by less from slice to slice."""
HERTZ: Final = "Hz"
RADIANS, ARBITRARY = "rad", "arbitrary"
_COARSEST: Final = 0.1
"""rad; the largest step of a phase image in radians."""
_NEARLY: Final = 0.01
"""rad; rounded scales make a whole turn differ from two pi by at most this."""
_OF_SEVERAL_KINDS: Final = "MIXED"
"""Value 4 of Image Type where frames differ in it (C.8.13.1.1.1)."""


def make_sidecar(
    volume: VolumePlan,
    *,
    identifiers: bool,
    software: str,
    dates: bool = False,
    times: Times | None = None,
) -> Sidecar:
    """Collect the fields of a sidecar.

    Args:
        volume: the plan.
        identifiers: include fields that identify a person, a date or a machine.
        software: version of rasnode.
        dates: include dates, even if other identifiers are left out.
        times: result of `times_of`, if it was called already.
    """
    piece = leading(volume)
    header, frame = piece
    fields: Sidecar = {
        "Modality": header.modality,
        "Manufacturer": header.vendor or None,
        "SeriesInstanceUID": header.series_instance_uid,
        "StudyInstanceUID": header.study_instance_uid,
        "SeriesNumber": header.series_number,
    }
    fields |= header.facts | frame.facts
    if header.modality == "MR" and "ReconMatrixPE" not in fields:
        fields["ReconMatrixPE"] = _phase_lines(fields, frame)
    fields |= dict.fromkeys(_differing(volume, fields))
    times = times or times_of(volume)
    fields |= timing_fields(volume, times) | repetition_fields(volume, times)
    fields |= labeling_fields(volume)
    fields.pop(CONTEXT, None)
    if frame.kind == FIELD_MAP:
        fields["Units"] = HERTZ
    elif header.modality == "MR" and frame.kind == PHASE and "Units" not in fields:
        fields["Units"] = _phase_units(volume)
    if header.modality == "PT":
        fields |= pet_fields(volume, header.facts | frame.facts)
    began = earliest(piece.frame.acquired for piece in volume.grid[0])
    fields |= {
        "FrameOfReferenceUID": header.frame_of_reference_uid,
        "ImageType": image_type(header, frame) or None,
        "AcquisitionNumber": frame.acquisition,
        "AcquisitionTime": _clock(began),
        "AcquisitionDateTime": _date_time(began),
        "SliceThickness": frame.thickness,
        "SpacingBetweenSlices": frame.between,
        "EchoTime": _echo_time(volume, frame),
        "EchoNumber": volume.echo or _later_echo(frame),
        "ImageOrientationPatientDICOM": list(frame.orientation or ()) or None,
        "ConversionSoftware": "rasnode",
        "ConversionSoftwareVersion": software,
    }
    hidden = frozenset() if identifiers else IDENTIFYING - (DATES if dates else frozenset())
    hidden |= NO_FIELDS
    return {
        name: value
        for name, value in fields.items()
        if value is not None and value != "" and name not in hidden
    }


def _phase_units(volume: VolumePlan) -> str:
    """Return the unit of phase images for BIDS: rad, if their scale gives radians.

    A scale gives radians if it begins at -pi, or if the stored values span one whole turn. Other
    units are the maker's own: Siemens' 4096 for pi, Philips' milliradians.
    """
    return RADIANS if all(_is_radians(piece) for row in volume.grid for piece in row) else ARBITRARY


def _is_radians(piece: Piece) -> bool:
    pixels, slope, intercept = piece.header.pixels, piece.frame.slope, piece.frame.intercept
    if pixels is None or pixels.kind != "integer" or not 0.0 < slope < _COARSEST:
        return False
    count = 2.0**pixels.bits_stored
    low = intercept - (slope * count / 2.0 if pixels.signed else 0.0)
    turn = abs(slope * count - 2.0 * math.pi) < _NEARLY + slope
    begins = min(abs(low), abs(low + math.pi)) < _NEARLY + slope
    return (turn and begins) or (not pixels.signed and abs(low + math.pi) < _NEARLY)


def _differing(volume: VolumePlan, fields: Sidecar) -> list[str]:
    """Return the fields that are left out, as they are not the same in all frames."""
    return [name for name in _TIMES if name in fields and one_value(volume.grid, name) is None]


def _echo_time(volume: VolumePlan, frame: FrameHeader) -> float | None:
    """Return Echo Time, s; None if several echoes were merged."""
    times = [piece.frame.echo_time or 0.0 for row in volume.grid for piece in row]
    if not frame.echo_time or max(times) - min(times) > SAME_ECHO_MS:
        return None
    return frame.echo_time / 1000.0


def _later_echo(frame: FrameHeader) -> int | None:
    """Return the number of an echo after the first, if other series hold the other echoes."""
    return frame.echo if frame.echo is not None and frame.echo > 1 else None


def image_type(header: InstanceHeader, frame: FrameHeader) -> list[str]:
    """Return Image Type as dcm2niix writes it: values split at underscores, the kind at the end.

    For an enhanced image it is that of the instance, not the Frame Type. Images of a known maker
    are magnitudes unless marked otherwise; images of other software may be anything.

    Args:
        header: the instance.
        frame: one of its frames.
    """
    stated = header.facts.get("ImageType")
    values = [str(value) for value in stated] if isinstance(stated, list) else frame.image_type
    parts = [part for value in values for part in value.split("_") if part]
    if header.modality == "MR" and parts and (frame.kind or header.vendor in _UNNAMED_MAGNITUDE):
        word = _KIND_WORDS[frame.kind or MAGNITUDE]
        stated = word in parts or (word == "MAGNITUDE" and _OF_SEVERAL_KINDS in parts)
        parts += [] if stated else [word]
    return parts


def _phase_lines(fields: Sidecar, frame: FrameHeader) -> int | None:
    """Return the number of lines along the phase encoding; None if not known."""
    if frame.rows == frame.columns:
        return frame.rows
    direction = fields.get("InPlanePhaseEncodingDirectionDICOM")
    return {"COL": frame.rows, "ROW": frame.columns}.get(str(direction).upper())


def leading(volume: VolumePlan) -> Piece:
    """Return the piece whose facts are those of the volume: the first one acquired."""
    return min(
        volume.grid[0],
        key=lambda piece: (piece.frame.number or 0, piece.uid, piece.frame.index),
    )


def _date_time(moment: int | None) -> str | None:
    if moment is None or moment < DAY:
        return None
    return f"{date.fromordinal(moment // DAY).isoformat()}T{_clock(moment)}"


def _clock(moment: int | None) -> str | None:
    if moment is None:
        return None
    seconds, fraction = divmod(moment % DAY, SECOND)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{fraction:06d}"
