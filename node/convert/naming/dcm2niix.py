"""File names after a template with dcm2niix's % codes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from node.assemble.frames.model import FrameHeader, InstanceHeader
from node.assemble.series import VolumePlan
from node.assemble.sidecar.sidecar import leading
from node.core.output_names import bids_label, is_bids
from node.core.settings.filename_codes import CODE, FACTS, UNSAFE

_LONGEST: Final = 180
"""Characters of one part of a path; suffix and extension have room to 255."""
_MAKERS: Final = {
    "BRUKER": ("Bruker", "Br"),
    "CANON": ("Canon", "Ca"),
    "GE": ("GE", "GE"),
    "HITACHI": ("Hitachi", "Hi"),
    "MEDISO": ("Mediso", "Me"),
    "PHILIPS": ("Philips", "Ph"),
    "SIEMENS": ("Siemens", "Si"),
    "TOSHIBA": ("Toshiba", "To"),
    "UIH": ("UIH", "UI"),
}
"""dcm2niix's names of makers, for %v and %m, by the first word of the sidecar's name."""
_UNKNOWN_MAKER: Final = ("NA", "NA")


def name_after(template: str, volume: VolumePlan, path: Path, folder: Path | None = None) -> str:
    """Fill a template for one volume; text from DICOM never becomes a path.

    Args:
        template: a checked template; slashes in it make folders.
        volume: the volume.
        path: the file of its leading instance, for %b.
        folder: the converted folder, for %f; None takes the folder of the file.
    """
    clean = bids_label if is_bids(template) else _clean
    named = (folder or path.parent).name

    def value(match: re.Match[str]) -> str:
        return clean(_value(match, volume, path, named))

    parts = [_safe(CODE.sub(value, part)) for part in template.split("/")]
    return "/".join(part for part in parts if part) or "volume"


def _value(match: re.Match[str], volume: VolumePlan, path: Path, folder: str) -> str:
    width, code = match[1], match[2].lower()
    header, frame = leading(volume)
    if code in FACTS:
        text = str(header.facts.get(FACTS[code], ""))
    else:
        long, short = _maker(header)
        text = {
            "a": str(_coil(header, frame)),
            "b": path.name,
            "e": str(frame.echo or 0),
            "f": folder,
            "j": header.series_instance_uid,
            "k": header.study_instance_uid,
            "m": short,
            "o": header.sop_instance_uid,
            "r": str(frame.instance or frame.number or 0),
            "s": str(header.series_number or 0),
            "t": _study_moment(header),
            "u": str(frame.acquisition or 0),
            "v": long,
            "%": "%",
        }[code]
    return text.zfill(int(width)) if width and text.isdigit() else text


def _coil(header: InstanceHeader, frame: FrameHeader) -> object:
    """Return the coil; for classic Siemens images the elements used, (0051,100F)."""
    name = header.facts.get("ReceiveCoilName", "")
    is_multi_frame = frame.instance is not None
    return name if is_multi_frame else header.facts.get("ReceiveCoilActiveElements", name)


def _maker(header: InstanceHeader) -> tuple[str, str]:
    words = header.vendor.upper().split()
    return _MAKERS.get(words[0] if words else "", _UNKNOWN_MAKER)


def _study_moment(header: InstanceHeader) -> str:
    """Return Study Date and Time to the second, as digits; the time rounded as dcm2niix does."""
    day = str(header.facts.get("StudyDate", "")).replace(".", "")
    time = str(header.facts.get("StudyTime", "")).replace(":", "")
    if not re.fullmatch(r"\d+(\.\d*)?", time, re.ASCII):
        time = "0"
    return f"{day if day.isdecimal() else ''}{float(time):06.0f}"


def _clean(text: str) -> str:
    return UNSAFE.sub("_", text)


def _safe(text: str) -> str:
    return _clean(text).strip("._")[:_LONGEST]
