"""Vendors' private elements: one module or folder for each maker, behind one interface.

To add a maker, write a module with `NAME`, `refine` and `tiles`, and enter it below by the
beginnings of its Manufacturer (0008,0070).
"""

from __future__ import annotations

from typing import Final, Protocol

from node.assemble.frames.model import FrameHeader
from node.assemble.vendors import canon, hitachi, philips, toshiba, uih
from node.assemble.vendors.ge import ge
from node.assemble.vendors.siemens import siemens
from node.assemble.vendors.siemens.mosaic import MOSAIC
from node.dicom import Elements


class Vendor(Protocol):
    """The interface of a maker's module."""

    NAME: str
    """The maker's name in sidecars."""

    def refine(self, elements: Elements, frame: FrameHeader) -> FrameHeader:
        """Add what private elements state about one frame.

        Args:
            elements: the instance; an enhanced one is overlaid with the frame's functional groups.
            frame: the frame by its standard attributes.

        Returns:
            the frame, with what the private elements add or correct.
        """
        ...

    def tiles(self, elements: Elements, frame: FrameHeader) -> tuple[FrameHeader, ...]:
        """Cut a mosaic, a frame that holds a whole stack, into its slices.

        Args:
            elements: as for `refine`.
            frame: the frame, from `refine`.

        Returns:
            one frame for each slice; empty if the frame is not a mosaic.

        Raises:
            AssemblyError: it is a mosaic, and the places of its slices are not known.
        """
        ...


_BY_MANUFACTURER: Final[tuple[tuple[str, Vendor], ...]] = (
    ("SIEMENS", siemens),
    ("GE MEDICAL", ge),
    ("GE HEALTHCARE", ge),
    ("PHILIPS", philips),
    ("UIH", uih),
    ("UNITED IMAGING", uih),
    ("SHANGHAI UNITED IMAGING", uih),
    ("CANON", canon),
    ("TOSHIBA", toshiba),
    ("HITACHI", hitachi),
    ("FUJIFILM", hitachi),
)

MAKERS: Final = frozenset(vendor.NAME for _, vendor in _BY_MANUFACTURER)
"""The makers' names in sidecars."""


def vendor_of(manufacturer: str) -> Vendor | None:
    """Find the vendor by Manufacturer (0008,0070)."""
    name = manufacturer.upper()
    for prefix, vendor in _BY_MANUFACTURER:
        if name.startswith(prefix):
            return vendor
    return None


def tiler_of(frame: FrameHeader) -> Vendor | None:
    """Return the vendor that cuts a mosaic without Manufacturer: MOSAIC is Siemens' own word.

    A mosaic that is not cut would become a slice that looks right.
    """
    return siemens if MOSAIC in frame.image_type else None
