"""What rules can ask of a volume that assembly planned: its size, kind and image attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from node.assemble.frames.model import MAGNITUDE, InstanceHeader
from node.assemble.series import VolumePlan
from node.assemble.sidecar.diffusion import gradients
from node.assemble.sidecar.sidecar import image_type, leading
from node.assemble.stacks.slice_sorting import Piece
from node.convert.naming.field_maps import Box, Scan
from node.core.output_rules import (
    DIFFUSION,
    DIMENSIONS,
    ECHO,
    ECHOES,
    IMAGE_TYPE,
    KIND,
    OF_THE_IMAGE,
    SLICES,
    VOLUMES,
)

_UNNAMED_KIND = MAGNITUDE
"""Images whose header does not state a kind."""


def volume_values(
    volume: VolumePlan, volumes: Sequence[VolumePlan]
) -> Mapping[str, tuple[str, ...]]:
    """Return what rules can compare with: key -> values as text.

    Args:
        volume: the plan.
        volumes: all plans of the series.
    """
    piece = leading(volume)
    times, slices = len(volume.grid), len(volume.grid[0])
    echoes = {one.echo for one in volumes}
    return {
        VOLUMES: (str(times),),
        SLICES: (str(slices),),
        DIMENSIONS: (str(4 if times > 1 else 3 if slices > 1 else 2),),
        DIFFUSION: (str(gradients(volume) is not None),),
        ECHOES: (str(len(echoes)),),
        ECHO: (str(volume.echo or piece.frame.echo or 1),),
        KIND: (piece.frame.derived or piece.frame.kind or _UNNAMED_KIND,),
        IMAGE_TYPE: tuple(dict.fromkeys((*piece.frame.image_type, *image_type(*piece)))),
        **{key: found for key in OF_THE_IMAGE if (found := _of_image(piece, key))},
    }


def scan_of(volume: VolumePlan) -> Scan:
    """Return what links a volume to field maps.

    Args:
        volume: the plan.
    """
    header = volume.first.header
    stated = header.facts.get("ShimSetting")
    shims = tuple(float(one) for one in stated) if isinstance(stated, list) else ()
    echo = leading(volume).frame.echo_time
    time = echo / 1000.0 if echo else None
    return Scan(shims, header.frame_of_reference_uid, _box(volume), time)


def began(volume: VolumePlan) -> int | None:
    """Return when the acquisition of a volume began, µs; None if not known."""
    times = [piece.frame.acquired for row in volume.grid for piece in row]
    known = [time for time in times if time is not None]
    return min(known, default=None)


def header_attributes(header: InstanceHeader) -> dict[str, Any]:
    """Return attributes of a series by keyword, as the index of a node keeps them.

    Args:
        header: of one of its instances.
    """
    facts: dict[str, Any] = dict(header.facts)
    return {
        **facts,
        "ManufacturerModelName": facts.get("ManufacturersModelName"),
        "Manufacturer": header.vendor,
        "BodyPartExamined": facts.get("BodyPart"),
        "Modality": header.modality,
        "SeriesNumber": header.series_number,
        "SeriesInstanceUID": header.series_instance_uid,
        "StudyInstanceUID": header.study_instance_uid,
        "FrameOfReferenceUID": header.frame_of_reference_uid,
    }


def _of_image(piece: Piece, key: str) -> tuple[str, ...]:
    value = piece.fact(key)
    return () if value is None else tuple(str(value).split("\\"))


def _box(volume: VolumePlan) -> Box:
    """Return the lowest and highest RAS coordinates of the voxels' centres, mm."""
    last = [size - 1 for size in volume.shape[:3]]
    corners = np.array([[*corner, 1] for corner in product(*((0, one) for one in last))])
    ras = (corners @ volume.affine.T)[:, :3]
    low, high = ras.min(axis=0).tolist(), ras.max(axis=0).tolist()
    x, y, z = (round(one, 3) for one in low)
    right, front, top = (round(one, 3) for one in high)
    return x, y, z, right, front, top
