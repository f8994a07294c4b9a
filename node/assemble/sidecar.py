"""The BIDS sidecar of one volume, its axes named for the array as written."""

from __future__ import annotations

from node.assemble.facts import IDENTIFYING, SECONDS_A_DAY
from node.assemble.model import FrameHeader
from node.assemble.series import VolumePlan
from node.assemble.stacking import Piece

Sidecar = dict[str, object]


def make_sidecar(volume: VolumePlan, *, identifiers: bool, software: str) -> Sidecar:
    """Collect the fields of a sidecar.

    Args:
        volume: the plan.
        identifiers: also write what points to a person, a day or a machine.
        software: version of rasnode.
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
    fields |= {
        "ImageType": list(frame.image_type) or None,
        "AcquisitionNumber": frame.acquisition,
        "AcquisitionTime": _clock(frame.acquisition_time),
        "SliceThickness": frame.thickness,
        "SpacingBetweenSlices": frame.between,
        "EchoTime": None if frame.echo_time is None else frame.echo_time / 1000.0,
        "EchoNumber": _echo_number(volume, frame),
        "ImageOrientationPatientDICOM": list(frame.orientation or ()) or None,
        "ConversionSoftware": "rasnode",
        "ConversionSoftwareVersion": software,
    }
    hidden = frozenset() if identifiers else IDENTIFYING
    return {
        name: value
        for name, value in fields.items()
        if value is not None and value != "" and name not in hidden
    }


def leading(volume: VolumePlan) -> Piece:
    """Return the piece that speaks for the volume: the first one acquired."""
    return min(
        volume.grid[0],
        key=lambda piece: (piece.frame.number or 0, piece.uid, piece.frame.index),
    )


def repetition_time(volume: VolumePlan) -> float | None:
    """Return the time in s between volumes, for pixdim[4]; None where it is not known."""
    value = leading(volume).header.facts.get("RepetitionTime")
    return float(value) if isinstance(value, int | float) else None


def _echo_number(volume: VolumePlan, frame: FrameHeader) -> int | None:
    return frame.echo if "_e" in volume.suffix else None


def _clock(moment: float | None) -> str | None:
    if moment is None:
        return None
    microseconds = round(moment % SECONDS_A_DAY * 1e6)
    seconds, fraction = divmod(microseconds, 1_000_000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{fraction:06d}"
