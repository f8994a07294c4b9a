"""File names after a template with dcm2niix's % codes."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Final

from node.assemble.facts import DAY, SECOND
from node.assemble.series import VolumePlan
from node.assemble.sidecar import leading
from node.errors import ConfigError
from node.naming import bids_label, is_bids

_CODE: Final = re.compile(r"%(\d?)(.)")
_UNSAFE: Final = re.compile(r"[^\w.+-]+")
_LONGEST: Final = 180
"""Characters of one part of a path; suffix and extension have room to 255."""
_FACTS: Final = {
    "a": "ReceiveCoilName",
    "c": "ImageComments",
    "d": "SeriesDescription",
    "g": "AccessionNumber",
    "i": "PatientID",
    "n": "PatientName",
    "p": "ProtocolName",
    "x": "StudyID",
    "z": "SequenceName",
}
_OTHERS: Final = frozenset("befhjkmorstuv%")


def check_template(template: str) -> None:
    """Refuse a template that names nothing, or has a code that nobody knows.

    Raises:
        ConfigError: with the code that is wrong.
    """
    for _, code in _CODE.findall(template):
        if code not in _FACTS and code not in _OTHERS:
            known = " ".join(f"%{one}" for one in sorted((*_FACTS, *_OTHERS)))
            raise ConfigError(f"%{code} is no code for file names; there are {known}.")
    if not _UNSAFE.sub("", template.replace("/", "")):
        raise ConfigError("The file name template is empty.")


def name_after(template: str, volume: VolumePlan, path: Path) -> str:
    """Fill a template for one volume; text from DICOM never becomes a path.

    Args:
        template: checked; a slash in it makes folders.
        volume: the volume.
        path: a file that it comes from, for %b and %f.
    """
    clean = bids_label if is_bids(template) else _safe
    parts = [
        _safe(_CODE.sub(lambda match: clean(_value(match, volume, path)), part))
        for part in template.split("/")
    ]
    return "/".join(part for part in parts if part) or "volume"


def _value(match: re.Match[str], volume: VolumePlan, path: Path) -> str:
    width, code = match.groups()
    header, frame = leading(volume)
    if code in _FACTS:
        text = str(header.facts.get(_FACTS[code], ""))
    else:
        number = header.series_number
        text = {
            "b": path.stem,
            "e": str(frame.echo or 0),
            "f": path.parent.name,
            "h": "",
            "j": header.series_instance_uid,
            "k": header.study_instance_uid,
            "m": header.vendor,
            "o": header.sop_instance_uid,
            "r": str(frame.number or 0),
            "s": str(number or 0),
            "t": _moment(frame.acquired),
            "u": str(frame.acquisition or 0),
            "v": header.vendor[:2],
            "%": "%",
        }[code]
    return text.zfill(int(width)) if width and text.isdigit() else text


def _safe(text: str) -> str:
    return _UNSAFE.sub("_", text).strip("._")[:_LONGEST]


def _moment(moment: int | None) -> str:
    if moment is None:
        return ""
    days, rest = divmod(moment // SECOND, DAY // SECOND)
    clock = f"{rest // 3600:02d}{rest // 60 % 60:02d}{rest % 60:02d}"
    return (date.fromordinal(days).strftime("%Y%m%d") if days > 0 else "") + clock
