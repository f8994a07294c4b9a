"""UIH's private elements: diffusion, and volumes tiled into one image (GRID)."""

from __future__ import annotations

import math
import re
from typing import Final

import msgspec

from node.assemble.frames.model import Facts, FrameHeader, Vector
from node.assemble.sidecar.standard_fields import SECOND, date_time, moment
from node.assemble.vendors.shared.image_axes import to_patient
from node.assemble.vendors.shared.phase_encoding import is_echo_planar
from node.core.errors import AssemblyError, Reason
from node.dicom import Elements

NAME: Final = "UIH"

_IMAGE: Final = "Image Private Header"
_MOST_TILES: Final = 4096
_IN_PLANE: Final = re.compile(r"[A-Z]:(\d+(?:\.\d+)?)")
"""Parallel Information (0065,xx0D): "F:2S"."""


def refine(elements: Elements, frame: FrameHeader) -> FrameHeader:
    """Add diffusion, phase encoding and readout; see `node.assemble.vendors.Vendor`."""
    return msgspec.structs.replace(
        frame, **_diffusion(elements, frame), facts=frame.facts | _facts(elements)
    )


def tiles(elements: Elements, frame: FrameHeader) -> tuple[FrameHeader, ...]:
    """Cut a GRID, one image that holds a volume, into its slices.

    MR Number of Slices in Volume (0065,xx50) tiles lie row by row in ceil(sqrt(n)) columns; the
    items of MR VFrame Sequence (0065,xx51) state where and when each was acquired.

    Args:
        elements: the instance.
        frame: the frame, from `refine`.

    Returns:
        one frame for each slice; empty if the frame is not a GRID.

    Raises:
        AssemblyError: the positions of the tiles are absent, or the tiles do not fill the image.
    """
    count = elements.integer(elements.private(0x0065, _IMAGE, 0x50), "DS")
    if "VFRAME" not in frame.image_type or count is None:
        return ()
    if not 1 <= count <= _MOST_TILES:
        raise AssemblyError(
            Reason.MOSAIC_UNDECODABLE,
            f"The grid cannot be cut into slices: its number of slices is impossible: {count}. "
            "Send the series again from its original source.",
        )
    items = elements.items(elements.private(0x0065, _IMAGE, 0x51))
    across = math.ceil(math.sqrt(count))
    down = math.ceil(count / across)
    if len(items) != count or frame.rows % down or frame.columns % across:
        raise AssemblyError(
            Reason.MOSAIC_UNDECODABLE,
            f"The grid cannot be cut into slices: it has {count} slices in {frame.rows} rows and "
            f"{frame.columns} columns, and the positions of {len(items)} slices. Send the series "
            "again from its original source, with its private elements.",
        )
    rows, columns = frame.rows // down, frame.columns // across
    times = [_acquired(item) for item in items]
    known = [time for time in times if time is not None]
    start = min(known) if len(known) == count else None
    return tuple(
        msgspec.structs.replace(
            frame,
            rows=rows,
            columns=columns,
            tile=(place // across * rows, place % across * columns),
            position=_position(item),
            location=item.number(0x00201041),
            acquisition_time=start,
            slice_time=None if start is None or time is None else (time - start) / SECOND,
            facts=frame.facts | _readout(item),
        )
        for place, (item, time) in enumerate(zip(items, times, strict=True))
    )


def _acquired(item: Elements) -> int | None:
    return date_time(item.text(0x0008002A)) or moment(item.text(0x00080022), item.text(0x00080032))


def _position(item: Elements) -> Vector | None:
    values = item.numbers(0x00200032)
    return (values[0], values[1], values[2]) if len(values) == 3 else None


def _diffusion(elements: Elements, frame: FrameHeader) -> dict[str, object]:
    """Return the b-value of the sequence (0065,xx09), and the direction (0065,xx37).

    The direction is relative to the image: along a row, along a column, along the normal.
    """
    b_value = elements.number(elements.private(0x0065, _IMAGE, 0x09), "FD")
    values = elements.numbers(elements.private(0x0065, _IMAGE, 0x37), "FD")
    if b_value is None:
        return {}
    gradient = (
        to_patient((values[0], values[1], values[2]), frame.orientation)
        if (len(values) == 3)
        else None
    )
    return {"b_value": b_value, "gradient": gradient}


def _facts(elements: Elements) -> Facts:
    facts: Facts = {}
    shown = elements.text(elements.private(0x0065, _IMAGE, 0x05))
    if shown:
        facts["PhaseEncodingDirectionDisplayed"] = shown
    parallel = _IN_PLANE.search(
        elements.text(elements.private(0x0065, _IMAGE, 0x0D)) or "",
    )
    if parallel is not None and float(parallel[1]) >= 1:
        facts["ParallelReductionFactorInPlane"] = float(parallel[1])
    if is_echo_planar(elements):
        facts |= _readout(elements)
    return facts


def _readout(item: Elements) -> Facts:
    """Read Acquisition Duration (0018,9073), which UIH gives in ms, and of one echo train."""
    duration = item.number(0x00189073)
    return {} if not duration or duration < 0 else {"TotalReadoutTime": duration / 1000.0}
