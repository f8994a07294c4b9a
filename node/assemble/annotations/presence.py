"""Whether an instance has annotations with a place, told without reading them."""

from __future__ import annotations

from typing import Final

from node.dicom import Elements

CONTENT: Final = 0x0040A730
GRAPHIC_ANNOTATIONS: Final = 0x00700001


def has_shapes(elements: Elements) -> bool:
    """Tell whether a structured report holds coordinates."""
    content = elements.raw(CONTENT)
    return content is not None and b"SCOORD" in content


def has_graphics(elements: Elements) -> bool:
    """Tell whether a presentation state draws something, or texts of it point at images."""
    return bool(elements.raw(GRAPHIC_ANNOTATIONS))
