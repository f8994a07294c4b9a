"""Points of 3D Slicer: markups JSON (`.mrk.json`) and fiducial lists (`.fcsv`), text to points.

In both, points are millimetres in LPS or RAS, and the file says which. Old fiducial lists say it
by a number: 0 is RAS, 1 is LPS. What is kept is LPS.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from node.assemble.space import Matrix, lps_to_ras, to_world
from node.core.errors import AssemblyError, Reason

LPS: Final = "LPS"
RAS: Final = "RAS"
_SYSTEMS: Final = {"LPS": LPS, "1": LPS, "RAS": RAS, "0": RAS}
_SCHEMA: Final = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/"
    "Schema/markups-schema-v1.0.3.json#"
)
_VERSION: Final = "# Markups fiducial file version = 4.11"
_COLUMNS: Final = "id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID"
_MILLIMETRES: Final = frozenset({"mm", "millimeter", "millimetre"})
FIDUCIAL: Final = "Fiducial"


class Point(NamedTuple):
    """A point with a name.

    Attributes:
        lps: mm in LPS.
    """

    label: str
    lps: tuple[float, float, float]
    description: str = ""


class Markup(NamedTuple):
    """A list of points.

    Attributes:
        kind: as Slicer calls it: `Fiducial`, `Line`, `Curve`, `ClosedCurve`, `Angle`, …
        name: of the list, if it has one.
    """

    kind: str
    points: tuple[Point, ...]
    name: str = ""


def markups_of_json(text: str) -> tuple[Markup, ...]:
    """Read a markups JSON file; points that Slicer has not placed are left out.

    Args:
        text: the file; where a list does not say its coordinate system it is LPS, as in Slicer.

    Raises:
        AssemblyError: `points-unreadable`.
    """
    try:
        lists = json.loads(text)["markups"]
        return tuple(_markup(one) for one in lists)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _unreadable(f"it is no markups JSON ({error})") from error


def markup_of_fcsv(text: str, system: str | None = None) -> Markup:
    """Read a fiducial list.

    Args:
        text: the file.
        system: `LPS` or `RAS`, for a file that does not say it.

    Raises:
        AssemblyError: `points-unreadable`: among others, nothing says whether it is LPS or RAS.
    """
    columns = _COLUMNS.split(",")
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("#"):
            key, _, value = line[1:].partition("=")
            if key.strip() == "CoordinateSystem":
                system = _system(value.strip())
            elif key.strip() == "columns":
                columns = [name.strip() for name in value.split(",")]
        elif line.strip():
            lines.append(line)
    if system is None:
        raise _unreadable("it does not say whether its points are LPS or RAS")
    try:
        at = [columns.index(name) for name in ("x", "y", "z")]
        label = columns.index("label")
        points = []
        for row in csv.reader(lines):
            xyz = [float(row[number]) for number in at]
            described = row[columns.index("desc")] if "desc" in columns else ""
            points.append(Point(row[label], _lps(xyz, _system(system)), described))
    except (ValueError, IndexError, csv.Error) as error:
        raise _unreadable(f"it is no fiducial list ({error})") from error
    return Markup(FIDUCIAL, tuple(points))


def json_of_markups(markups: Sequence[Markup], system: str = LPS) -> str:
    """Write markups JSON.

    Args:
        markups: the lists.
        system: `LPS` or `RAS`, in which the points are written; the file says which.
    """
    written = [
        {
            "type": markup.kind,
            "coordinateSystem": _system(system),
            "coordinateUnits": "mm",
            **({"name": markup.name} if markup.name else {}),
            "controlPoints": [
                {
                    "id": str(number),
                    "label": point.label,
                    "description": point.description,
                    "position": list(_of_lps(point.lps, system)),
                    "positionStatus": "defined",
                }
                for number, point in enumerate(markup.points, 1)
            ],
        }
        for markup in markups
    ]
    return json.dumps({"@schema": _SCHEMA, "markups": written}, indent=1) + "\n"


def fcsv_of_markup(markup: Markup, system: str = LPS) -> str:
    """Write a fiducial list.

    Args:
        markup: the points.
        system: `LPS` or `RAS`, in which the points are written; the file says which.
    """
    out = io.StringIO()
    out.write(f"{_VERSION}\n# CoordinateSystem = {_system(system)}\n# columns = {_COLUMNS}\n")
    rows = csv.writer(out, lineterminator="\n")
    for number, point in enumerate(markup.points, 1):
        placed = map(repr, _of_lps(point.lps, system))
        rows.writerow([number, *placed, 0, 0, 0, 1, 1, 1, 0, point.label, point.description, ""])
    return out.getvalue()


def points_array(markups: Sequence[Markup]) -> Matrix:
    """Return (n, 3) LPS mm of all points."""
    found = [point.lps for markup in markups for point in markup.points]
    return np.array(found, np.float64).reshape(-1, 3)


def _markup(said: dict[str, Any]) -> Markup:
    system = _system(str(said.get("coordinateSystem", LPS)))
    units = said.get("coordinateUnits", "mm")
    if not _MILLIMETRES & set(units if isinstance(units, list) else [units]):
        raise _unreadable(f"its points are in {units}, not in mm")
    points = tuple(
        Point(
            str(point.get("label", "")),
            _lps([float(value) for value in point["position"]], system),
            str(point.get("description", "")),
        )
        for point in said.get("controlPoints", ())
        if point.get("positionStatus", "defined") == "defined"
    )
    return Markup(str(said.get("type", FIDUCIAL)), points, str(said.get("name", "")))


def _system(said: str) -> str:
    if said.upper() not in _SYSTEMS:
        raise _unreadable(f"its points are in {said!r}, which is neither LPS nor RAS")
    return _SYSTEMS[said.upper()]


def _lps(values: Sequence[float], system: str) -> tuple[float, float, float]:
    if len(values) != 3 or not all(map(math.isfinite, values)):
        raise ValueError("a point has no three numbers")
    return _of_lps((values[0], values[1], values[2]), system)


def _of_lps(point: tuple[float, float, float], system: str) -> tuple[float, float, float]:
    """Turn LPS into a system, and back: it is its own inverse."""
    if _system(system) == LPS:
        return point
    x, y, z = to_world(lps_to_ras(np.eye(4)), point).tolist()
    return x, y, z


def _unreadable(why: str) -> AssemblyError:
    return AssemblyError(Reason.POINTS_UNREADABLE, f"The points cannot be read: {why}.")
