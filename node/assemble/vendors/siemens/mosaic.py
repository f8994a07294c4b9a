"""Siemens' mosaics: the slices of a volume as tiles of one image.

n slices are laid out row by row in a square of ceil(sqrt(n)) tiles each way; other tiles are empty.
Image Position (Patient) is that of an image as large as the sheet around the centre of the first
slice, so that the first tile's corner is half the difference of the sizes away from it.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec
import numpy as np

from node.assemble.frames.model import FrameHeader, Vector
from node.assemble.stacks.geometry import SAME_DIRECTION, Planes, Points, check_plane, planes_of
from node.assemble.vendors.siemens.private import Private
from node.assemble.vendors.siemens.protocol import Slice, is_slab, slices
from node.assemble.vendors.siemens.slice_times import mosaic_times
from node.core.errors import AssemblyError, Reason

MOSAIC: Final = "MOSAIC"
_MOST_TILES: Final = 4096
NEAR: Final = 0.25
"""Fraction of the slice spacing within which a centre is at a prescribed slice; motion correction
and late table adjustments move all slices alike."""
ROUNDED_MM: Final = 6e-3
"""mm; Spacing Between Slices with two decimals is up to 0.005 off the protocol's slices."""
SAME_CENTRE_MM: Final = 1.0
"""mm in the plane between the centre of an image and that of the prescribed slice."""


def mosaic_tiles(private: Private, frame: FrameHeader) -> tuple[FrameHeader, ...]:
    """Cut a mosaic into its slices.

    Args:
        private: the private values of the image.
        frame: the image by its standard attributes.

    Returns:
        one frame for each slice; empty if the frame is not a mosaic.

    Raises:
        AssemblyError: it is a mosaic, and its description is incomplete or contradicts itself.
    """
    count = _count(private, frame)
    if count is None:
        return ()
    across = math.ceil(math.sqrt(count))
    if frame.rows % across or frame.columns % across:
        raise _undecodable(
            f"{count} slices do not fit into {frame.rows} rows and {frame.columns} columns"
        )
    check_plane(frame)
    rows, columns = frame.rows // across, frame.columns // across
    planes = planes_of([frame])
    row, column = planes.row[0] * planes.spacing[0, 1], planes.column[0] * planes.spacing[0, 0]
    sheet = planes.position[0] + row * (frame.columns / 2) + column * (frame.rows / 2)
    half = row * (columns / 2) + column * (rows / 2)
    centre = _centre(private, planes, sheet, planes.position[0] + half)
    steps, reverse = _steps(private, frame, planes.normal(), centre, count)
    corner = centre - half
    times = mosaic_times(private, count, reverse=reverse)
    against = float(steps[-1] @ planes.normal()) < 0
    return tuple(
        msgspec.structs.replace(
            frame,
            rows=rows,
            columns=columns,
            tile=(place // across * rows, place % across * columns),
            position=(float(x), float(y), float(z)),
            location=None,
            slice_time=times[place] if times else None,
            gradient=_opposite(private, frame) if against else frame.gradient,
        )
        for place, (x, y, z) in enumerate(corner + steps)
    )


def _count(private: Private, frame: FrameHeader) -> int | None:
    """Return the number of slices of a mosaic; None if the frame is an ordinary image."""
    announced = private.number("NumberOfImagesInMosaic")
    mosaic = MOSAIC in frame.image_type
    if not mosaic and (announced or 0) <= 1:
        return None
    prescribed = len(slices(private.protocol)) if mosaic else 0
    count = announced or prescribed
    if not count:
        lost = "damaged" if private.damaged else "absent"
        raise _undecodable(f"its number of slices is not stated, and its CSA header is {lost}")
    if not 1 <= count <= _MOST_TILES or count % 1:
        raise _undecodable(f"its number of slices is impossible: {count:g}")
    return int(count)


def _centre(private: Private, planes: Planes, sheet: Points, tile: Points) -> Points:
    """Return the centre of the first slice, LPS mm: the centre of the sheet, as scanners write it.

    Software that knows mosaics may have corrected the position already. Then the protocol's slices
    lie around the centre of a tile at that position, and not around the centre of the sheet.
    """
    normal = planes.normal()
    prescribed = [np.array(one.centre) for one in slices(private.protocol)]

    def away(centre: Points) -> float:
        lateral = ((one - centre) - normal * float((one - centre) @ normal) for one in prescribed)
        return min((float(np.linalg.norm(vector)) for vector in lateral), default=0.0)

    return tile if away(tile) <= SAME_CENTRE_MM < away(sheet) else sheet


def _steps(
    private: Private, frame: FrameHeader, normal: Points, centre: Points, count: int
) -> tuple[Points, bool | None]:
    """Return how far each tile's slice lies from the first one.

    There are two witnesses for the side of the first slice on which the others lie:
    SliceNormalVector of the CSA header, and the protocol's slices, at one end of which the first
    tile has to be. Reversed image numbering turns both. One is enough; if they disagree, the mosaic
    is refused.

    Returns:
        (count, 3) LPS mm, and whether the tiles run against the protocol's slices, None if not
        known.
    """
    stated = _stated(private, normal)
    prescribed = _prescribed(private, normal, centre, count)
    if stated is None and prescribed is None:
        lost = "damaged" if private.damaged else "absent or without SliceNormalVector"
        raise _undecodable(
            "the side of the first slice on which the others lie is not known: its CSA header is "
            f"{lost}, and no protocol has its slices"
        )
    along: Points = np.arange(count)[:, None] * normal
    if prescribed is None:
        step = frame.between or (frame.thickness if is_slab(private.protocol) else None)
        if not step or step <= 0:
            raise _undecodable(
                "it has neither Spacing Between Slices (0018,0088) nor a protocol with its slices"
            )
        return along * (step * (stated or 1)), None
    steps, reverse = prescribed
    side = float(np.sign(steps[-1] @ normal)) if count > 1 else 1.0
    if stated is not None and count > 1 and stated != side:
        raise _undecodable(
            "the slice normal of its CSA header and the slices of its protocol lie on opposite "
            "sides of the first slice"
        )
    upright: Points = np.outer(steps @ normal, normal)
    if np.abs(steps - upright).max() > SAME_CENTRE_MM:
        raise _undecodable("the slices of its protocol do not lie behind each other")
    mean = abs(float(steps[-1] @ normal)) / max(count - 1, 1)
    if count > 1 and (frame.between or 0) > 0 and abs((frame.between or 0) - mean) > ROUNDED_MM:
        raise _undecodable(
            f"Spacing Between Slices (0018,0088) is {frame.between:g} mm, and the slices of its "
            f"protocol are {mean:g} mm apart"
        )
    return upright, reverse


def _stated(private: Private, normal: Points) -> int | None:
    """Return 1 if SliceNormalVector is the cross product of row and column, -1 if its opposite."""
    vector = private.numbers("SliceNormalVector")
    if len(vector) != 3 or not any(vector):
        return None
    cosine = float(np.array(vector) @ normal) / math.hypot(*vector)
    if not abs(1.0 - abs(cosine)) <= SAME_DIRECTION:
        raise _undecodable("the slice normal of its CSA header is not square to its rows")
    return 1 if cosine > 0 else -1


def _prescribed(
    private: Private, normal: Points, centre: Points, count: int
) -> tuple[Points, bool] | None:
    """Return the offsets of the protocol's slices from the slice of the first tile."""
    found = slices(private.protocol)
    if len(found) != count or not _parallel(found, normal):
        return None
    centres = np.array([one.centre for one in found])
    away = np.abs((centres - centre) @ normal)
    extent = abs(float((centres[-1] - centres[0]) @ normal))
    if count == 1 or away[0] <= NEAR * extent / (count - 1) < away[-1]:
        return centres - centres[0], False
    if away[-1] <= NEAR * extent / (count - 1) < away[0]:
        return centres[::-1] - centres[-1], True
    return None


def _parallel(found: tuple[Slice, ...], normal: Points) -> bool:
    cosines = np.array([one.normal for one in found]) @ normal
    return bool((1.0 - np.abs(cosines) <= SAME_DIRECTION).all())


def _opposite(private: Private, frame: FrameHeader) -> Vector | None:
    """Return the opposite direction, as dcm2niix writes it where tiles run against row x column.

    A direction and its opposite are the same measurement, so this changes nothing if it is done to
    all volumes of a series. With reversed numbering dcm2niix keeps the direction.
    """
    if frame.gradient is None or (private.number("ProtocolSliceNumber") or 0) > 1:
        return frame.gradient
    x, y, z = frame.gradient
    return -x, -y, -z


def _undecodable(sentence: str) -> AssemblyError:
    return AssemblyError(
        Reason.MOSAIC_UNDECODABLE,
        f"The mosaic cannot be cut into slices: {sentence}. Send the series again from its "
        "original source, with its private elements.",
    )
