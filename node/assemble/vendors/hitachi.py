"""Hitachi writes the standard's diffusion attributes and no private ones."""

from __future__ import annotations

from typing import Final

from node.assemble.frames.model import FrameHeader
from node.dicom import Elements

NAME: Final = "Hitachi"


def refine(elements: Elements, frame: FrameHeader) -> FrameHeader:  # noqa: ARG001
    """Return the frame unchanged."""
    return frame


def tiles(elements: Elements, frame: FrameHeader) -> tuple[FrameHeader, ...]:  # noqa: ARG001
    """Return nothing: every slice is an image of its own."""
    return ()
