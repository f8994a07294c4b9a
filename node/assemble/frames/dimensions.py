"""Dimensions of an enhanced image: which of them are space, which make volumes (C.7.6.17)."""

from __future__ import annotations

from typing import Final, NamedTuple

from node.dicom import Elements

_DIMENSIONS: Final = 0x00209222
_POINTER: Final = 0x00209165
_SPATIAL: Final = frozenset(
    {
        0x00200032,  # Image Position (Patient)
        0x00200037,  # Image Orientation (Patient)
        0x00201041,  # Slice Location
        0x00209056,  # Stack ID
        0x00209057,  # In-Stack Position Number
        0x00209113,  # Plane Position Sequence
        0x00209116,  # Plane Orientation Sequence
        0x00209301,  # Image Position (Volume)
        0x0020930E,  # Plane Position (Volume) Sequence
    }
)


class Dimensions(NamedTuple):
    """What the Dimension Index Values of a frame mean.

    Attributes:
        size: number of dimensions.
        not_spatial: indices of the dimensions that are not spatial, in their order.
    """

    size: int
    not_spatial: tuple[int, ...]

    def beyond_space(self, values: tuple[int, ...]) -> tuple[int, ...]:
        """Return the Dimension Index Values (0020,9157) that are not spatial."""
        if len(values) != self.size:
            return ()
        return tuple(values[index] for index in self.not_spatial)


def read_dimensions(elements: Elements) -> Dimensions:
    """Read the Dimension Index Sequence (0020,9222)."""
    pointers = [(item.tags(_POINTER) or (0,))[0] for item in elements.items(_DIMENSIONS)]
    not_spatial = tuple(index for index, tag in enumerate(pointers) if tag not in _SPATIAL)
    return Dimensions(len(pointers), not_spatial)
