"""What a careful reader could know of a series from its headers as they are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from tests.simulator.scanner.habits import Habits
from tests.simulator.scanner.scan import Scan
from tests.simulator.scanner.truth import Frame

Column = list[Any]
"""The values at one slice, in the true order of time."""


def stated(
    scan: Scan, habits: Habits, frames: Sequence[Frame], form: str, modality: str, lies: list[str]
) -> list[str]:
    """Return what states the fourth axis of every volume; empty if nothing does.

    Args:
        frames: all of them, as written.
        lies: what is known to be wrong and states nothing.
    """
    if scan.times < 2:
        return ["one time"]
    found = []
    if scan.axis == "set" and scan.partitioned:
        found.append("what the times show")
    enhanced = form.startswith("enhanced")
    if enhanced and habits.pointers == "right":
        found.append("dimensions")
    readers: dict[str, Callable[[Frame], Any]] = {
        "Temporal Position": lambda frame: frame.said.get("TemporalPosition"),
        "Frame Reference Time": lambda frame: frame.said.get("FrameReferenceTime"),
        "Acquisition Time": lambda frame: acquired(frame, enhanced=enhanced),
        "Nominal Percentage": lambda frame: frame.said.get("Percentage"),
    }
    if modality == "MR" and "numbers" not in lies:
        readers["Instance Number"] = lambda frame: frame.said.get("InstanceNumber")
    if "dates" in lies:
        del readers["Acquisition Time"]
    volumes = _columns(scan, frames)
    for name, read in readers.items():
        if all(_states([[read(f) for f in column] for column in one]) for one in volumes):
            found.append(name)
    one_acquisition = habits.acquisitions not in {"rising", "shuffled"}
    if (
        scan.axis == "cardiac"
        and one_acquisition
        and all(
            _rises([frame.said.get("TriggerTime") for frame in column])
            for one in volumes
            for column in one
        )
    ):
        found.append("Trigger Time")
    return found


def acquired(frame: Frame, *, enhanced: bool) -> str | None:
    """Return date and time of acquisition as far as they are written."""
    said = frame.said
    time, date = said.get("AcquisitionTime"), said.get("AcquisitionDate")
    if enhanced:
        return date + time if date and time else None
    if said.get("AcquisitionDateTime"):
        return str(said["AcquisitionDateTime"])
    return (date or "") + time if time else None


def _columns(scan: Scan, frames: Sequence[Frame]) -> list[list[list[Frame]]]:
    """Return [volume][slice][time] frames."""
    by_cell = {frame.cell: frame for frame in frames}
    return [
        [[by_cell[v, t, k] for t in range(scan.times)] for k in range(count)]
        for v, count in enumerate(scan.slices)
    ]


def _rises(column: Column) -> bool:
    return None not in column and all(a < b for a, b in pairwise(column))


def _states(columns: list[Column]) -> bool:
    """Tell whether values rise at every slice, and volumes or slices follow each other."""
    if not all(_rises(column) for column in columns):
        return False
    rows = list(zip(*columns, strict=True))
    if all(max(a) < min(b) for a, b in pairwise(rows)):
        return True
    in_turn = sorted(columns, key=lambda column: column[0])
    return all(a[-1] < b[0] for a, b in pairwise(in_turn))
