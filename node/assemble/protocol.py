"""The protocol of a series: its parameters, and how they differ from those of a reference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np

from node.assemble.series import VolumePlan
from node.assemble.sidecar.sidecar import make_sidecar

Entry = Mapping[str, Any]
"""The parameters of one volume, as they stand in a protocol file."""

TOLERANCES: Final[Mapping[str, float]] = MappingProxyType(
    {
        "RepetitionTime": 0.002,
        "EchoTime": 0.0001,
        "InversionTime": 0.005,
        "FlipAngle": 0.5,
        "spacing": 0.01,
        "orientation": 15.0,
    }
)
"""By how much a parameter may differ without an alarm, in its unit. Scanners round times, and write
the measured instead of the prescribed interval; a slab is turned to the anatomy of each person."""
UNITS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "RepetitionTime": "s",
        "EchoTime": "s",
        "InversionTime": "s",
        "FlipAngle": "degrees",
        "spacing": "mm",
        "orientation": "degrees",
        "matrix": "voxels",
        "volumes": "volumes",
    }
)
_NUMBERS: Final = ("RepetitionTime", "EchoTime", "InversionTime", "FlipAngle")
_TEXTS: Final = ("ReceiveCoilName", "ReceiveCoilActiveElements", "PhaseEncodingDirection")
_EXACT: Final = ("matrix", "volumes", *_TEXTS)
PARAMETERS: Final = (*_NUMBERS, "spacing", "orientation", *_EXACT)
MISSING_SERIES: Final = "missing series"
"""The parameter of a deviation that is about a whole session: how often it has a series."""


class Deviation(NamedTuple):
    """A parameter that differs from the reference by more than its tolerance.

    Attributes:
        series: how the reference names the series.
        parameter: its name in the protocol file.
        expected, found: its values; None: absent.
        difference: in the unit; None if it is no number.
        tolerance: in the unit.
        unit: of all of them; empty if it has none.
    """

    series: str
    parameter: str
    expected: Any
    found: Any
    difference: float | None
    tolerance: float
    unit: str

    @property
    def sentence(self) -> str:
        """The deviation for people."""
        if self.parameter == MISSING_SERIES:
            here = f"; there are {self.found} of {self.expected}" if self.found else ""
            return f"{self.series}: the series is missing{here}"
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.series}: {self.parameter} is {self.found}, not {self.expected}{unit}"


def described(volume: VolumePlan) -> dict[str, Any]:
    """The parameters of a volume.

    Args:
        volume: the plan.

    Returns:
        the entry of a protocol file; times in s, angles in degrees, lengths in mm.
    """
    fields = make_sidecar(volume, identifiers=False, software="")
    frame = volume.first.frame
    steps = np.linalg.norm(volume.lps[:3, :3], axis=0)
    directions = volume.lps[:3, :3] / steps
    found: dict[str, Any] = {
        "series": str(fields.get("SeriesDescription") or fields.get("ProtocolName") or ""),
        "kind": volume.suffix,
        "image_type": [str(part) for part in (frame.image_type or ())],
        "matrix": [frame.columns, frame.rows, len(volume.grid[0])],
        "volumes": len(volume.grid),
        "spacing": [round(float(step), 4) for step in steps],
        "orientation": [[round(float(part), 5) for part in row] for row in directions.T],
    }
    for name in (*_NUMBERS, *_TEXTS):
        if fields.get(name) is not None:
            found[name] = fields[name]
    return found


def deviations(
    reference: Sequence[Entry], found: Entry, tolerances: Mapping[str, float] = TOLERANCES
) -> list[Deviation] | None:
    """How a volume differs from the reference.

    Of several reference volumes of one name and kind, such as repeated runs, the nearest counts.

    Args:
        reference: the volumes of the reference session.
        found: the volume, as `described` gives it.
        tolerances: by parameter; those that are not named have their default.

    Returns:
        the deviations; None if the reference has no series of this name and kind.
    """
    alike = [one for one in reference if _identity(one) == _identity(found)]
    if not alike:
        return None
    limits = {**TOLERANCES, **tolerances}
    return min((_differences(one, found, limits) for one in alike), key=len)


def missing(reference: Sequence[Entry], found: Sequence[Entry]) -> list[Deviation]:
    """The series of the reference that a session does not have, or has less often.

    Args:
        reference: the volumes of the reference session.
        found: the volumes of the session: `series` and `kind` of each. Without `kind` it is a
            series of which not every volume is known: it stands for one of each kind.
    """
    wanted = Counter(_identity(one) for one in reference)
    given = Counter(_identity(one) for one in found if "kind" in one)
    partly = Counter(str(one["series"]) for one in found if "kind" not in one)
    lacking = []
    for (name, kind), count in wanted.items():
        here = given[name, kind] + partly[name]
        if here < count:
            series = name + kind
            short = float(count - here)
            lacking.append(Deviation(series, MISSING_SERIES, count, here, short, 0.0, "series"))
    return lacking


def _identity(entry: Entry) -> tuple[str, str]:
    return str(entry.get("series", "")), str(entry.get("kind", ""))


def _differences(expected: Entry, found: Entry, tolerances: Mapping[str, float]) -> list[Deviation]:
    result = []
    for name in PARAMETERS:
        wanted, given = expected.get(name), found.get(name)
        limit = tolerances.get(name, 0.0)
        if wanted is None and given is None:
            continue
        difference = _difference(name, wanted, given)
        if (difference is None and wanted != given) or (difference or 0.0) > limit + 1e-9:
            rounded = None if difference is None else round(difference, 6)
            series = "".join(_identity(expected))
            unit = UNITS.get(name, "")
            result.append(Deviation(series, name, wanted, given, rounded, limit, unit))
    return result


def _difference(name: str, expected: Any, found: Any) -> float | None:
    """The difference in the parameter's unit; None if the values are no numbers to compare."""
    if expected is None or found is None or name in _TEXTS:
        return None
    first, second = np.asarray(expected, float), np.asarray(found, float)
    if first.shape != second.shape:
        return None
    if name == "orientation":
        cosines = np.clip(np.sum(first * second, axis=1), -1.0, 1.0)
        return float(np.degrees(np.arccos(cosines)).max())
    return float(np.abs(first - second).max())
