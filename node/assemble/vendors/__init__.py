"""What only a vendor's private elements say, one file per vendor behind one interface."""

from __future__ import annotations

from typing import Final, Protocol

from node.assemble.frames.model import FrameHeader
from node.assemble.vendors import canon, hitachi, philips, toshiba, uih
from node.assemble.vendors.ge import ge
from node.assemble.vendors.siemens import siemens
from node.assemble.vendors.siemens.mosaic import MOSAIC
from node.dicom import Elements


class Vendor(Protocol):
    """What every module in this package provides."""

    NAME: str
    """The vendor as sidecars call it."""

    def refine(self, elements: Elements, frame: FrameHeader) -> FrameHeader:
        """Add what private elements know about one frame.

        Args:
            elements: the instance; of an enhanced one, the frame's functional groups.
            frame: what the standard attributes say.
        """
        ...

    def tiles(self, elements: Elements, frame: FrameHeader) -> tuple[FrameHeader, ...]:
        """Cut a frame that holds a whole stack into its slices; empty if it is an ordinary frame.

        Raises:
            AssemblyError: it is a mosaic, but nothing says where its slices are.
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
"""Names of vendors as sidecars have them."""


def vendor_of(manufacturer: str) -> Vendor | None:
    """Find the vendor by Manufacturer (0008,0070)."""
    name = manufacturer.upper()
    for prefix, vendor in _BY_MANUFACTURER:
        if name.startswith(prefix):
            return vendor
    return None


def tiler_of(frame: FrameHeader) -> Vendor | None:
    """Find who cuts a frame of no known vendor: MOSAIC is Siemens' word, if Manufacturer was lost.

    A sheet of tiles that nobody cuts would become a slice that looks right.
    """
    return siemens if MOSAIC in frame.image_type else None
