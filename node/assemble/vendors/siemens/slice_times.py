"""Siemens' slice times: when each slice was excited."""

from __future__ import annotations

from typing import Final

from node.assemble.frames.model import FrameHeader
from node.assemble.sidecar.standard_fields import DAY, SECOND
from node.assemble.vendors.shared.phase_encoding import is_echo_planar
from node.assemble.vendors.siemens.private import Private
from node.assemble.vendors.siemens.protocol import Protocol, number, whole

DAY_MS: Final = 86_400_000.0
"""ms; scanners write times before the reference as if a day later."""
_DAYS: Final = 4096
"""Days after which times of slices begin again, so that a float holds them exactly to the µs."""
_ASCENDING, _DESCENDING, _INTERLEAVED = 1, 2, 4  # sSliceArray.ucMode
_TWO_DIMENSIONS: Final = 2


def mosaic_times(private: Private, count: int, *, reverse: bool | None) -> tuple[float, ...]:
    """Return when each tile's slice was excited, s; empty if not known.

    MosaicRefAcqTimes has the times in the order of the tiles. Software before VB15 has no such
    times, excites one slice at a time and takes the slices in the order that the protocol states.

    Args:
        private: the private values of the image.
        count: number of slices.
        reverse: the tiles run against the protocol's slices; None if not known.
    """
    stated = private.numbers("MosaicRefAcqTimes")
    if len(stated) == count:
        # times are multiples of 2.5 ms but for rounding
        return tuple(_of_day(time) / 1000.0 for time in stated)
    unusable = stated or "MosaicRefAcqTimes" in private.csa
    if unusable or reverse is None or not is_echo_planar(private.elements):
        return ()
    found = _by_order(private.protocol, count, private.elements.number(0x00180080))
    return found[::-1] if reverse else found


def slice_time(private: Private, frame: FrameHeader) -> float | None:
    """Return when an image of one slice was acquired, s; only differences within a volume count.

    XA states the time since the measurement began, all software lines state times of day.

    Args:
        private: the private values of the image.
        frame: the image by its standard attributes.
    """
    if private.elements.text(0x00180023) != "2D":
        return None
    since = None if "TimeAfterStart" in private.csa else private.number("TimeAfterStart")
    acquired = frame.acquired
    if since is not None or acquired is None:
        return since
    return acquired % (_DAYS * DAY) / SECOND


def _of_day(time: float) -> float:
    return time - DAY_MS if time > DAY_MS / 2 else time


def _by_order(protocol: Protocol, count: int, repetition: float | None) -> tuple[float, ...]:
    """Return evenly spaced slice times, s, in the protocol's order of slices.

    An interleaved order begins with the first slice if their number is odd, else with the second.

    Args:
        protocol: the settings.
        count: number of slices.
        repetition: Repetition Time (0018,0080), ms.
    """
    mode = whole(protocol, "sSliceArray.ucMode")
    single = (whole(protocol, "sSliceArray.lConc") or 1) == 1
    planar = whole(protocol, "sKSpace.ucDimension") == _TWO_DIMENSIONS
    if mode not in {_ASCENDING, _DESCENDING, _INTERLEAVED} or not single or not planar:
        return ()
    pause = (number(protocol, "lDelayTimeInTR") or 0.0) / 1000.0
    if not repetition or not 0 <= pause < repetition:
        return ()
    order = list(range(count))
    if mode == _DESCENDING:
        order.reverse()
    elif mode == _INTERLEAVED:
        odd = count % 2
        order = [*range(1 - odd, count, 2), *range(odd, count, 2)]
    step = (repetition - pause) / count / 1000.0
    times = [0.0] * count
    for rank, index in enumerate(order):
        times[index] = rank * step
    return tuple(times)
