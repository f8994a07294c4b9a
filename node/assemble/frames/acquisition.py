"""Acquisition and reconstruction settings that distinguish images at one position."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from node.dicom import Elements

Settings = tuple[tuple[str, str | float], ...]

KERNEL: Final = "Convolution Kernel"
KVP: Final = "KVP"
FILTER: Final = "Filter Type"
ALGORITHM: Final = "Reconstruction Algorithm"
METHOD: Final = "Reconstruction Method"
ATTENUATION: Final = "Attenuation Correction Method"
CORRECTED: Final = "Corrected Image"
CONTRAST: Final = "Contrast/Bolus Agent"
COIL: Final = "Receive Coil Name"
INVERSION: Final = "Inversion Time"
FLIP_ANGLE: Final = "Flip Angle"
VELOCITY: Final = "Velocity Encoding Direction"
TRANSFER: Final = "Magnetization Transfer"
IMAGE_CLASS: Final = "GE image class"

SAME_INVERSION_MS: Final = 0.5
"""ms; inversion times of one volume are rounded, and differ by less."""
SAME_INVERSION: Final = 0.002
"""The same as a fraction of the inversion time."""

_TEXTS: Final = (
    (KERNEL, 0x00181210),
    (FILTER, 0x00181160),
    (ALGORITHM, 0x00189315),
    (METHOD, 0x00541103),
    (ATTENUATION, 0x00541101),
    (CORRECTED, 0x00280051),
    (CONTRAST, 0x00180010),
    (COIL, 0x00181250),
    (VELOCITY, 0x00189090),
    (TRANSFER, 0x00189020),
)
_NUMBERS: Final[tuple[tuple[str, tuple[int, ...]], ...]] = (
    (KVP, (0x00180060,)),
    (INVERSION, (0x00180082, 0x00189079)),
    (FLIP_ANGLE, (0x00181314,)),
)
"""Name of the setting, and its elements in classic and in enhanced images."""


def read_settings(elements: Elements) -> Settings:
    """Return the settings that an instance, or a frame of it, states.

    Args:
        elements: the instance, with the frame's functional groups laid over it.
    """
    found: dict[str, str | float] = {}
    for name, tag in _TEXTS:
        text = elements.value(tag)
        if text:
            found[name] = text
    for name, tags in _NUMBERS:
        number = next((value for tag in tags if (value := elements.number(tag))), None)
        if number:
            found[name] = number
    return in_order(found)


def in_order(settings: Mapping[str, str | float]) -> Settings:
    """Return settings sorted by name, as headers hold them."""
    return tuple(sorted(settings.items()))
