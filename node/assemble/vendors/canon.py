"""Canon's private elements."""

from __future__ import annotations

from typing import Final

from node.assemble.model import FrameHeader
from node.elements import Elements

NAME: Final = "Canon"


def refine(elements: Elements, frame: FrameHeader) -> FrameHeader:  # noqa: ARG001
    """Add what private elements know about one frame."""
    return frame


def tiles(elements: Elements, frame: FrameHeader) -> tuple[FrameHeader, ...]:  # noqa: ARG001
    """Return nothing: Canon stores every slice as an image of its own."""
    return ()
