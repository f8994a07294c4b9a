"""The private values of a Siemens image, wherever the software line keeps them.

Software lines VA to VE have CSA headers, and some of the same values in SIEMENS MR HEADER; NX (XA)
has them in SIEMENS MR SDS and SDI, for enhanced images in private functional groups. All values
that a PACS or an anonymizer left are used.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Final

from node.assemble.vendors.siemens.csa import MAGIC, Csa, parse_csa
from node.assemble.vendors.siemens.protocol import Protocol, parse_protocol
from node.dicom import Elements

_CSA: Final = "SIEMENS CSA HEADER"
_HEADER: Final = "SIEMENS MR HEADER"
_SERIES: Final = "SIEMENS MR SDS 01"
_IMAGE: Final = "SIEMENS MR SDI 02"
_IN_HEADER: Final = {
    "NumberOfImagesInMosaic": (0x19, 0x0A, "US"),
    "B_value": (0x19, 0x0C, "IS"),
    "DiffusionDirectionality": (0x19, 0x0D, "CS"),
    "DiffusionGradientDirection": (0x19, 0x0E, "FD"),
    "ImaRelTablePosition": (0x19, 0x14, "IS"),
    "RealDwellTime": (0x19, 0x18, "IS"),
    "B_matrix": (0x19, 0x27, "FD"),
    "BandwidthPerPixelPhaseEncode": (0x19, 0x28, "FD"),
    "MosaicRefAcqTimes": (0x19, 0x29, "FD"),
    "CoilString": (0x51, 0x0F, "LO"),
    "ImaPATModeText": (0x51, 0x11, "LO"),
    "ImageOrientationText": (0x51, 0x0E, "SH"),
}
"""Name in the CSA header -> group, element and VR in SIEMENS MR HEADER."""
_IN_IMAGE: Final = {
    "PhaseEncodingDirectionPositive": (0x1C, "IS"),
    "RealDwellTime": (0x42, "IS"),
    "BandwidthPerPixelPhaseEncode": (0x53, "FD"),
    "ImaRelTablePosition": (0x59, "IS"),
    "TimeAfterStart": (0x04, "DS"),
    "ICE_Dims": (0x06, "LO"),
    "PostLabelingDelay": (0x89, "FD"),
    "CoilString": (0x4F, "LO"),
    "ImageTypeText": (0x75, "CS"),
}
"""The same in SIEMENS MR SDI 02."""
_IN_SERIES: Final = {
    "ImaPATModeText": (0x09, "LO"),
    "LabelingType": (0x55, "CS"),
    "ScanningSequence": (0x5A, "CS"),
    "SequenceVariant": (0x5B, "CS"),
    "ScanOptions": (0x5C, "CS"),
}
"""The same in SIEMENS MR SDS 01."""
_FUNCTIONAL_GROUPS: Final = (0x52009229, 0x52009230)
_GROUPS: Final = ((_SERIES, 0xFE), (_IMAGE, 0xFE))


class Private:
    """The private values of one image."""

    def __init__(self, elements: Elements) -> None:
        """Read an instance.

        Args:
            elements: the instance; an enhanced one is overlaid with a frame's functional groups.
        """
        self.elements = _opened(elements)

    @cached_property
    def csa(self) -> Csa:
        """The CSA image header; empty where it is absent or damaged."""
        raw = self._csa(0x10)
        return (parse_csa(raw) or {}) if raw else {}

    def _csa(self, low: int) -> bytes:
        """Return a CSA header: by its creator, or by its magic bytes if that was removed."""
        found = self.elements.raw(self.elements.private(0x0029, _CSA, low))
        if found:
            return found
        named = (
            raw
            for tag in self.elements
            if tag >> 16 == 0x0029
            and tag & 0xFF == low
            and (raw := self.elements.raw(tag) or b"").startswith(MAGIC)
        )
        return next(named, b"")

    @property
    def damaged(self) -> bool:
        """Whether there is a CSA image header that cannot be read."""
        return not self.csa and bool(self._csa(0x10))

    @cached_property
    def protocol(self) -> Protocol:
        """The measurement protocol; empty where it is absent."""
        found = parse_protocol(self._csa(0x20))
        if found:
            return found
        return parse_protocol(
            self.elements.raw(self.elements.private(0x0021, _SERIES, 0x19)) or b""
        )

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the values of a name of the CSA header, wherever the software line has them."""
        values = self.csa.get(name)
        if values:
            return values
        tag, _ = self._place(name)
        return self.elements.texts(tag)

    def numbers(self, name: str) -> tuple[float, ...]:
        """Return the values as finite numbers; empty if one of them is not."""
        values = self.csa.get(name)
        if not values:
            tag, vr = self._place(name)
            return self.elements.numbers(tag, vr)
        try:
            found = tuple(float(value) for value in values)
        except ValueError:
            return ()
        return found if all(map(math.isfinite, found)) else ()

    def number(self, name: str) -> float | None:
        """Return the first value as a finite number."""
        values = self.numbers(name)
        return values[0] if values else None

    def text(self, name: str) -> str:
        """Return the first value as text, empty if there is none."""
        values = self.texts(name)
        return values[0].strip() if values else ""

    def _place(self, name: str) -> tuple[int, str]:
        """Return the tag of an element outside the CSA header, and its VR."""
        places: list[tuple[int, str]] = []
        if name in _IN_HEADER:
            group, element, vr = _IN_HEADER[name]
            places.append((self.elements.private(group, _HEADER, element), vr))
        if name in _IN_IMAGE:
            element, vr = _IN_IMAGE[name]
            places.append((self.elements.private(0x0021, _IMAGE, element), vr))
        if name in _IN_SERIES:
            element, vr = _IN_SERIES[name]
            places.append((self.elements.private(0x0021, _SERIES, element), vr))
        return next((place for place in places if place[0]), (0, "UN"))


def _opened(elements: Elements) -> Elements:
    """Overlay a classic instance with the items of Siemens' private groups, which XA writes."""
    if any(tag in elements for tag in _FUNCTIONAL_GROUPS):
        return elements  # the groups of the frame are open already
    items = [
        item
        for creator, element in _GROUPS
        if (item := elements.item(elements.private(0x0021, creator, element))) is not None
    ]
    return elements.overlaid(items, private=True) if items else elements
