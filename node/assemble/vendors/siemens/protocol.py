"""Siemens' measurement protocol: its settings as text, and the prescribed slices."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from node.assemble.frames.model import Vector
from node.dicom import whole as exact

_BEGIN: Final = b"### ASCCONV BEGIN"
_END: Final = b"### ASCCONV END"
_SETTING: Final = re.compile(
    rb"^([A-Za-z_][\w.\[\]]{0,199})[ \t]*=[ \t]*([^\r\n]{0,2000})", re.MULTILINE
)
_AXES: Final = ("dSag", "dCor", "dTra")
"""Components of a vector: towards left, posterior, head; absent ones are zero."""
_MOST_SLICES: Final = 4096
_THREE: Final = 4
"""sKSpace.ucDimension of 3D scans, whose sSliceArray has slabs."""
_FARTHEST_MM: Final = 1e4
"""mm; no slice is ten metres from the isocentre."""
_UNIT: Final = 1e-2
"""Largest deviation of a normal's length from 1; an absent normal deviates by 1."""

Protocol = Mapping[str, str]


class Slice(NamedTuple):
    """One prescribed slice: its centre, LPS mm, and its normal, a unit vector."""

    centre: Vector
    normal: Vector


def parse_protocol(raw: bytes) -> Protocol:
    """Read the settings of the last protocol in an element; empty where there is none.

    Args:
        raw: a CSA series header (0029,xx20), or MrPhoenixProtocol (0021,xx19).
    """
    begin = raw.rfind(_BEGIN)
    end = raw.find(_END, begin)
    return _settings(raw[begin:end]) if begin >= 0 and end > begin else {}


@lru_cache(maxsize=8)
def _settings(text: bytes) -> Protocol:
    """Read settings, which are the same in all instances of a series."""
    return {
        name.decode("ascii"): value.partition(b"#")[0].strip(b' \t"').decode("latin-1")
        for name, value in _SETTING.findall(text)
    }


def number(protocol: Protocol, name: str) -> float | None:
    """Return a setting as a number; None if it is absent or not a number.

    Args:
        protocol: the settings.
        name: name of the setting, such as `sPat.lAccelFactPE`.

    Examples:
        >>> number({"ucMode": "0x10"}, "ucMode")
        16.0
    """
    text = protocol.get(name, "")
    try:
        value = float(int(text, 16)) if text.lower().startswith("0x") else float(text)
    except (ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def whole(protocol: Protocol, name: str) -> int | None:
    """Return a setting as an integer; None if it is absent or not a whole number.

    Args:
        protocol: the settings.
        name: name of the setting.
    """
    return exact(number(protocol, name))


def is_slab(protocol: Protocol) -> bool:
    """Tell whether a scan is 3D: its slices are parts of a slab and lie side by side."""
    return whole(protocol, "sKSpace.ucDimension") == _THREE


def slices(protocol: Protocol) -> tuple[Slice, ...]:
    """Return sSliceArray, the slices of a 2D protocol; empty if any of them is incomplete."""
    count = whole(protocol, "sSliceArray.lSize") or 0
    if not 1 <= count <= _MOST_SLICES or is_slab(protocol):
        return ()
    found: list[Slice] = []
    for index in range(count):
        name = f"sSliceArray.asSlice[{index}]"
        centre = _vector(protocol, f"{name}.sPosition")
        normal = _vector(protocol, f"{name}.sNormal")
        if centre is None or normal is None or abs(math.hypot(*normal) - 1.0) > _UNIT:
            return ()
        found.append(Slice(centre, normal))
    return tuple(found)


def _vector(protocol: Protocol, name: str) -> Vector | None:
    parts: list[float] = []
    for axis in _AXES:
        value = number(protocol, f"{name}.{axis}")
        if value is None and f"{name}.{axis}" in protocol:
            return None
        if abs(value or 0.0) > _FARTHEST_MM:
            return None
        parts.append(value or 0.0)
    return parts[0], parts[1], parts[2]
