"""Answers questions about volumes, in the viewer's process."""

from __future__ import annotations

import logging
from collections.abc import Callable
from math import isfinite
from pathlib import Path

from isal import igzip

from node.core.errors import error_reference, traced
from node.web.viewer import drawing
from node.web.viewer.blocks import read_plane, read_voxel
from node.web.viewer.copies import Copies, Copy
from node.web.viewer.messages import Answered, Asked, Geometry, NotNow, NotViewable

log = logging.getLogger(__name__)


class VolumeService:
    """Answers from decompressed copies.

    Args:
        copies: the copies.
    """

    def __init__(self, copies: Copies) -> None:
        self._copies = copies

    def answer(
        self, asked: Asked, beat: Callable[[], object] = lambda: None
    ) -> tuple[Answered, bytes]:
        """The answer to one question; a refusal is an answer, too.

        Args:
            asked: the question.
            beat: called regularly while a copy is made.
        """
        try:
            copy = self._copies.get(Path(asked.path), beat)
            return _answer(asked, copy)
        except NotViewable as error:
            return Answered("not-viewable", str(error)), b""
        except NotNow as error:
            return Answered("not-now", str(error)), b""
        except MemoryError:
            sentence = "the viewer has no memory for this slice; try again"
            return Answered("not-now", sentence), b""
        except Exception as error:  # noqa: BLE001  it costs this question
            place = error_reference(error)
            log.error("the viewer cannot read a volume (reference %s): %s", place, traced(error))
            sentence = f"the volume cannot be read; look for reference {place} in the log"
            return Answered("not-now", sentence), b""


def _answer(asked: Asked, copy: Copy) -> tuple[Answered, bytes]:
    geometry = copy.geometry
    if asked.want == "geometry":
        return Answered(geometry=geometry), b""
    if asked.want == "voxel":
        return Answered(geometry=geometry, values=_voxel(asked, copy)), b""
    shape = geometry.shape
    if not (0 <= asked.index < shape[asked.axis] and 0 <= asked.time < shape[3]):
        raise NotViewable(
            f"the volume has no slice {asked.index} at time {asked.time} on axis {asked.axis}"
        )
    plane = read_plane(copy.path, copy.layout, asked.axis, asked.index, asked.time)
    if asked.want == "png":
        return Answered(), drawing.png(geometry, plane, asked.low, asked.high)
    data = drawing.values(geometry, plane)
    return Answered(), igzip.compress(data, 1, mtime=0) if asked.packed else data


def _voxel(asked: Asked, copy: Copy) -> list[float | None]:
    geometry: Geometry = copy.geometry
    i, j, k = asked.voxel
    inside = zip((i, j, k, asked.time), geometry.shape, strict=True)
    if not all(0 <= index < count for index, count in inside):
        raise NotViewable(f"the volume has no voxel ({i}, {j}, {k}) at time {asked.time}")
    stored = read_voxel(copy.path, copy.layout, asked.voxel, asked.time)
    if geometry.is_colour:
        return [float(value) for value in stored.item()]
    value = float(stored) * geometry.slope + geometry.intercept
    return [value if isfinite(value) else None]
