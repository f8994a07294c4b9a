"""Siemens' private elements."""

from __future__ import annotations

from typing import Final

from node.assemble.model import FrameHeader
from node.elements import Elements
from node.errors import AssemblyError, Reason

NAME: Final = "Siemens"


def refine(elements: Elements, frame: FrameHeader) -> FrameHeader:  # noqa: ARG001
    """Add what private elements know about one frame."""
    return frame


def tiles(elements: Elements, frame: FrameHeader) -> tuple[FrameHeader, ...]:
    """Cut a mosaic into its slices."""
    if "MOSAIC" in frame.image_type or _tile_count(elements) > 1:
        raise AssemblyError(
            Reason.MOSAIC_UNDECODABLE, "A mosaic, whose slices are not cut apart yet."
        )
    return ()


def _tile_count(elements: Elements) -> int:
    """Return NumberOfImagesInMosaic (0019,xx0A), 1 for an ordinary image."""
    return elements.integer(elements.private(0x0019, "SIEMENS MR HEADER", 0x0A), "US") or 1
