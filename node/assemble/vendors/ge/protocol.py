"""GE's Protocol Data Block (0025,xx1B), and the slice times that follow from it."""

from __future__ import annotations

import re
import zlib
from functools import lru_cache
from typing import Final, NamedTuple

from node.dicom import Elements

_GZIP: Final = b"\x1f\x8b"
_HEAD_BYTES: Final = 64
"""The block begins with its length; the compressed text follows at once."""
_MOST_BYTES: Final = 1 << 18
"""The text has some 10 KB; this bounds what a damaged or hostile block can inflate to."""
_LINE: Final = re.compile(r'^(?:set )?(\w+)\s+"([^"]*)"', re.MULTILINE)
_RELEASE: Final = re.compile(r"(?:^|[^A-Z])[A-Z]{2}(\d{2})\.\d+(?:_R(\d{1,6}))?")
_EVEN_ORDER_SINCE: Final = (27, 3)
"""RX27.0_R03: before it, an even number of multiband excitations was made odd by one more."""


class Protocol(NamedTuple):
    """The timing that the block states.

    Attributes:
        interleaved: every other slice is excited first, from the first one on.
        delay: s of pause after each volume.
        uneven: the pauses differ.
    """

    interleaved: bool
    delay: float
    uneven: bool


def read_protocol(elements: Elements) -> Protocol | None:
    """Read the block; None if there is none, or it holds no such text."""
    return _protocol(elements.raw(elements.private(0x0025, "GEMS_SERS_01", 0x1B)) or b"")


@lru_cache(maxsize=16)
def _protocol(raw: bytes) -> Protocol | None:
    """Read the block, which is the same in all instances of a series."""
    start = raw.find(_GZIP, 0, _HEAD_BYTES)
    if start < 0:
        return None
    try:
        text = zlib.decompressobj(31).decompress(raw[start:], _MOST_BYTES).decode("latin-1")
    except zlib.error:
        return None
    values = dict(_LINE.findall(text))
    if not values:
        return None
    delays = [_seconds(part) for part in values.get("PHASEDELAYS1", "").split()]
    return Protocol(
        interleaved=values.get("SLICEORDER", "1") == "1",
        delay=_seconds(values.get("DELACQ", "")),
        uneven=any(delays),
    )


def slice_times(
    count: int, bands: int, repetition: float, *, interleaved: bool, release: tuple[int, int]
) -> tuple[float, ...]:
    """Return when each slice is excited, in s from the start of its volume.

    Args:
        count: slices, in the order in which they were prescribed.
        bands: slices that are excited together.
        repetition: s that all excitations take, without a pause after them.
        interleaved: every other slice first.
        release: GE software release.
    """
    excitations = -(-count // bands)
    odd_made = bands > 1 and excitations % 2 == 0 and release < _EVEN_ORDER_SINCE
    if odd_made and interleaved:
        excitations += 1
    order = list(range(excitations))
    if interleaved:
        order = order[::2] + order[1::2]
        if bands > 1 and excitations % 2 == 0:
            order[-2:] = order[:-3:-1]
    when = {which: at * repetition / excitations for at, which in enumerate(order)}
    return tuple(when[index % excitations] for index in range(count))


def release_of(elements: Elements) -> tuple[int, int]:
    """Return the software release, as (27, 3) for RX27.0_R03; zeros if not known."""
    for version in elements.texts(0x00181020):
        found = _RELEASE.search(version)
        if found is not None:
            return int(found[1]), int(found[2] or 0)
    return 0, 0


def _seconds(text: str) -> float:
    try:
        return max(0.0, float(text))
    except ValueError:
        return 0.0  # "Minimum"
