"""The counts that a header announces, read from its elements wherever vendors keep them."""

from __future__ import annotations

import re
from typing import Final

from node.completion.facts import Count
from node.elements import Elements

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
_PLANNED: Final = re.compile(
    rb"\b(lRepetitions|lContrasts|sDiffusion\.lDiffDirections)\s*=\s*(\d{1,9})\b"
)
_PET_IMAGE_STORAGE: Final = "1.2.840.10008.5.1.4.1.1.128"
_SERIES_TYPE: Final = 0x00541000
_NUMBER_OF_SLICES: Final = 0x00540081
_NUMBER_OF_TIME_SLICES: Final = 0x00540101


def announced(elements: Elements) -> dict[str, int]:
    """The counts that an instance announces, by the names of `Count`; implausible ones left out."""
    found = {count: elements.integer(tag) for count, tag in _STANDARD}
    for count, group, creator, element, vr in _PRIVATE:
        found[count] = elements.integer(elements.private(group, creator, element), vr)
    found |= _pet(elements)
    found[Count.VOLUMES] = _mosaics(elements)
    return {str(count): value for count, value in found.items() if value is not None and value > 0}


def _pet(elements: Elements) -> dict[Count, int | None]:
    """A PET series' slices and times (PS3.3 C.8.9.1, C.8.9.4); gated series count otherwise."""
    if elements.uid(0x00080016) != _PET_IMAGE_STORAGE:
        return {}
    kind = elements.text(_SERIES_TYPE)
    slices = elements.integer(_NUMBER_OF_SLICES)
    if kind == "DYNAMIC":
        times = elements.integer(_NUMBER_OF_TIME_SLICES)
        return {Count.PET_SLICES: slices, Count.PET_TIME_SLICES: times} if times else {}
    return {Count.PET_SLICES: slices} if kind in {"STATIC", "WHOLE BODY"} else {}


def _mosaics(elements: Elements) -> int | None:
    """How many mosaics the protocol of a Siemens time series plans, one a volume.

    Diffusion and several contrasts make more of them than the protocol's repetitions say.
    """
    if "MOSAIC" not in elements.texts(0x00080008):
        return None
    protocol = elements.raw(elements.private(0x0029, "SIEMENS CSA HEADER", 0x20)) or b""
    planned = dict(_PLANNED.findall(protocol))
    if int(planned.get(b"lContrasts", b"1")) > 1 or b"sDiffusion.lDiffDirections" in planned:
        return None
    return int(planned[b"lRepetitions"]) + 1 if b"lRepetitions" in planned else None


def concatenation(elements: Elements) -> str:
    """ConcatenationUID, empty for instances that are whole by themselves."""
    return elements.uid(0x00209161) or ""
