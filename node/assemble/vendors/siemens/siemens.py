"""Siemens' private elements: mosaics, diffusion, timing and facts of the protocol."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from node.assemble.frames.model import FrameHeader
from node.assemble.vendors.siemens.diffusion import weighting
from node.assemble.vendors.siemens.mosaic import MOSAIC, mosaic_tiles
from node.assemble.vendors.siemens.private import Private
from node.assemble.vendors.siemens.sidecar import polarity, private_facts, readout
from node.assemble.vendors.siemens.slice_times import slice_time
from node.assemble.vendors.siemens.spin_labeling import private_labeling
from node.dicom import Elements

NAME: Final = "Siemens"
_MODALITY: Final = 0x00080060
_ECHO: Final = re.compile(r"[X\d]+_(\d{1,3})_")


def refine(elements: Elements, frame: FrameHeader) -> FrameHeader:
    """Add diffusion, slice time, phase polarity and facts of the protocol.

    Args:
        elements: the instance; an enhanced one is overlaid with the frame's functional groups.
        frame: the frame by its standard attributes.
    """
    if not _is_mr(elements, frame):
        return frame
    private = Private(elements)
    return msgspec.structs.replace(
        frame,
        **weighting(private, frame),
        echo=_echo(private) if frame.echo is None else frame.echo,
        slice_time=slice_time(private, frame),
        phase_polarity=polarity(private),
        facts=frame.facts | private_facts(private, frame) | private_labeling(private),
    )


def tiles(elements: Elements, frame: FrameHeader) -> tuple[FrameHeader, ...]:
    """Cut a mosaic into its slices.

    Args:
        elements: as for `refine`.
        frame: the frame, from `refine`.

    Returns:
        one frame for each slice; empty if the frame is not a mosaic.

    Raises:
        AssemblyError: it is a mosaic, and the places of its slices are not known or contradict
            each other.
    """
    if not _is_mr(elements, frame):
        return ()
    private = Private(elements)
    found = mosaic_tiles(private, frame)
    if not found:
        return ()
    facts = frame.facts | readout(private, found[0], tuple(tile.slice_time for tile in found))
    return tuple(msgspec.structs.replace(tile, facts=facts) for tile in found)


def _is_mr(elements: Elements, frame: FrameHeader) -> bool:
    """Tell whether an image is MR; a mosaic is, even if Modality was removed."""
    return elements.text(_MODALITY) == "MR" or MOSAIC in frame.image_type


def _echo(private: Private) -> int | None:
    """Return the number of the echo, which enhanced images have in ICE_Dims only: X_2_1_1 …"""
    found = _ECHO.match(private.text("ICE_Dims"))
    return int(found[1]) if found else None
