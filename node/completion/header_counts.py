"""Reads the counts that a header announces, from standard and from vendors' elements."""

from __future__ import annotations

import re
from typing import Final

from node.completion.facts import Count
from node.dicom import Elements

_STANDARD: Final = (
    (Count.IMAGES_IN_ACQUISITION, 0x00201002),
    (Count.TEMPORAL_POSITIONS, 0x00200105),
    (Count.CONCATENATION_TOTAL, 0x00209163),
)
_PRIVATE: Final = (
    (Count.IMAGES_IN_SERIES, 0x0025, "GEMS_SERS_01", 0x07, "SL"),
    (Count.LOCATIONS, 0x0021, "GEMS_RELA_01", 0x4F, "SS"),
    (Count.SLICES, 0x2001, "Philips Imaging DD 001", 0x18, "SL"),
    (Count.DYNAMICS, 0x2001, "Philips Imaging DD 001", 0x81, "IS"),
)
_PROTOCOL: Final = b"### ASCCONV BEGIN"
_NUMBER: Final = re.compile(rb"\s*=\s*(0x[0-9a-fA-F]{1,8}|\d{1,9})\s")
_TWO_DIMENSIONS, _THREE_DIMENSIONS = 2, 4  # sKSpace.ucDimension
_MR_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.4"
_PET_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.128"
_SERIES_TYPE: Final = 0x00541000
_NUMBER_OF_SLICES: Final = 0x00540081
_NUMBER_OF_TIME_SLICES: Final = 0x00540101


def announced(elements: Elements) -> dict[str, int]:
    """The counts that an instance announces, by the names of `Count`, without implausible ones."""
    found = {count: elements.integer(tag) for count, tag in _STANDARD}
    for count, group, creator, element, vr in _PRIVATE:
        found[count] = elements.integer(elements.private(group, creator, element), vr)
    found |= _pet(elements)
    found |= _planned(elements)
    return {str(count): value for count, value in found.items() if value is not None and value > 0}


def _pet(elements: Elements) -> dict[Count, int | None]:
    """Slices and times of a PET series (PS3.3 C.8.9.1, C.8.9.4), but not of a gated one."""
    if elements.uid(0x00080016) != _PET_IMAGE_STORAGE:
        return {}
    kind = elements.text(_SERIES_TYPE)
    slices = elements.integer(_NUMBER_OF_SLICES)
    if kind == "DYNAMIC":
        times = elements.integer(_NUMBER_OF_TIME_SLICES)
        return {Count.PET_SLICES: slices, Count.PET_TIME_SLICES: times} if times else {}
    return {Count.PET_SLICES: slices} if kind in {"STATIC", "WHOLE BODY"} else {}


def _planned(elements: Elements) -> dict[Count, int | None]:
    """The volumes, and for single slices the slices, that a Siemens protocol plans.

    Diffusion, several contrasts and cardiac phases make more images than it says: then none.
    """
    if elements.uid(0x00080016) != _MR_IMAGE_STORAGE:
        return {}
    content = elements.raw(elements.private(0x0029, "SIEMENS CSA HEADER", 0x20)) or b""
    protocol = content[max(content.rfind(_PROTOCOL), 0) :]
    more = (b"lContrasts", b"sPhysioImaging.lPhases", b"sDiffusion.lDiffWeightings")
    if any((_setting(protocol, name) or 1) > 1 for name in more):
        return {}
    if _setting(protocol, b"sDiffusion.lDiffDirections") is not None:
        return {}
    repetitions = _setting(protocol, b"lRepetitions")
    if "MOSAIC" in elements.texts(0x00080008):
        return {Count.VOLUMES: repetitions + 1 if repetitions is not None else None}
    slices = _setting(protocol, b"sSliceArray.lSize")  # in 3D the slabs
    if _setting(protocol, b"sKSpace.ucDimension") == _THREE_DIMENSIONS:
        slices = (slices or 0) * (_setting(protocol, b"sKSpace.lImagesPerSlab") or 0)
    elif _setting(protocol, b"sKSpace.ucDimension") != _TWO_DIMENSIONS:
        return {}
    return {Count.VOLUMES: (repetitions or 0) + 1, Count.PLANNED_SLICES: slices} if slices else {}


def _setting(protocol: bytes, name: bytes) -> int | None:
    """A number in the protocol's text, decimal or hexadecimal; None if it is absent."""
    at = protocol.find(b"\n" + name)
    found = _NUMBER.match(protocol, at + 1 + len(name)) if at >= 0 else None
    return int(found[1], 0) if found else None


def concatenation(elements: Elements) -> str:
    """ConcatenationUID; empty for instances that are not a part of a concatenation."""
    return elements.uid(0x00209161) or ""
