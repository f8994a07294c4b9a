"""Nuclear medicine: the slices of reconstructed tomography (PS3.3 C.8.4.15)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from node.assemble.frames.classic import classic_frame
from node.assemble.frames.model import FrameHeader, PixelFormat
from node.assemble.stacks.geometry import check_plane
from node.core.errors import AssemblyError, Reason
from node.dicom import Elements
from node.dicom import whole as exact

NUCLEAR_CLASS: Final = "1.2.840.10008.5.1.4.1.1.20"
_RECONSTRUCTED: Final = frozenset({"RECON TOMO", "RECON GATED TOMO"})
"""Value 3 of Image Type of images whose frames are slices, not views around the patient."""
_DETECTORS: Final = 0x00540022
_DETECTOR, _SLICE, _TIME_SLOT = 0x00540020, 0x00540080, 0x00540070
_APART: Final = ((0x00540010, "energy window"), (_DETECTOR, "detector"), (0x00540060, "interval"))
"""Vectors whose values separate images: energy windows, detectors and R-R intervals."""
_SLICES: Final = 0x00540081
_NAMES: Final = {
    0x00540010: "Energy Window Vector",
    _DETECTOR: "Detector Vector",
    0x00540060: "R-R Interval Vector",
    _TIME_SLOT: "Time Slot Vector",
    _SLICE: "Slice Vector",
}


def is_reconstructed(elements: Elements) -> bool:
    """Tell whether an instance is reconstructed tomography of nuclear medicine (C.8.4.9.1.3)."""
    if elements.uid(0x00080016) != NUCLEAR_CLASS:
        return False
    kinds = elements.texts(0x00080008)
    return len(kinds) > 2 and kinds[2].upper() in _RECONSTRUCTED


def reconstructed_frames(elements: Elements, pixels: PixelFormat) -> tuple[FrameHeader, ...]:
    """Read the slices: position and directions of their detector, moved by Slice Vector.

    Slice 1 is at Image Position (Patient), and slice n is n - 1 times Spacing Between Slices
    behind it along the normal (row x column), or before it if the spacing is negative. Time slots
    are times of one image; energy windows, detectors and R-R intervals are separate images.

    Args:
        elements: the instance.
        pixels: its pixel format.

    Raises:
        AssemblyError: place or spacing is absent, or the vectors do not fit the frames.
    """
    count = pixels.frames
    whole = classic_frame(elements, pixels)
    vectors = {tag: _vector(elements, tag, count) for tag in _NAMES}
    slices = vectors[_SLICE] if count > 1 else (1,)
    _check_slices(elements, vectors, slices)
    step = whole.between if len(set(slices)) > 1 else 0.0
    if step is None or (step == 0.0 and len(set(slices)) > 1):
        raise AssemblyError(
            Reason.NO_GEOMETRY,
            "The tomography has no Spacing Between Slices (0018,0088), so that the distance of its "
            "slices is not known. Export it again with that attribute.",
        )
    several = [tag for tag, _ in _APART if len(set(vectors[tag])) > 1]
    made = []
    for index, number in enumerate(slices):
        frame = _placed(elements, whole, (vectors[_DETECTOR] or (1,) * count)[index])
        assert frame.position and frame.orientation  # noqa: S101, PT018 - checked
        normal = np.cross(frame.orientation[:3], frame.orientation[3:])
        normal /= np.linalg.norm(normal)
        x, y, z = (np.array(frame.position) + normal * (step * (number - 1))).tolist()
        apart = [f"{name} {vectors[tag][index]}" for tag, name in _APART if tag in several]
        made.append(
            msgspec.structs.replace(
                frame,
                index=index,
                position=(x, y, z),
                between=None if whole.between is None else abs(whole.between),
                number=index + 1 if count > 1 else whole.number,
                stack=", ".join(apart) or None,
                temporal=vectors[_TIME_SLOT][index] if vectors[_TIME_SLOT] else None,
            )
        )
    return tuple(made)


def _vector(elements: Elements, tag: int, count: int) -> tuple[int, ...]:
    """Return one value for each frame; empty if the vector is absent.

    Raises:
        AssemblyError: the number of values is not that of frames.
    """
    values = tuple(value for each in elements.numbers(tag) if (value := exact(each)) is not None)
    if not values and (tag != _SLICE or count == 1):
        return ()
    if len(values) != count:
        raise AssemblyError(
            Reason.INCONSISTENT_FRAMES,
            f"The tomography has {count} frames, and its {_NAMES[tag]} {len(values)} values. Send "
            "the series again from its original source.",
        )
    return values


def _check_slices(
    elements: Elements, vectors: dict[int, tuple[int, ...]], slices: tuple[int, ...]
) -> None:
    """Refuse slices that do not count from 1 to the stated number, or occur twice."""
    stated = elements.integer(_SLICES)
    first, last = min(slices), max(slices)
    if first != 1 or (len(slices) > 1 and stated is not None and stated != last):
        raise AssemblyError(
            Reason.INCONSISTENT_FRAMES,
            f"Slice Vector (0054,0080) counts from {first} to {last}, and Number of Slices is "
            f"{'absent' if stated is None else stated}: it should count from 1 to that number. "
            "Send the series again from its original source.",
        )
    kept = [vector for tag, vector in vectors.items() if tag != _SLICE and vector]
    counts = Counter(zip(slices, *kept, strict=True))
    if max(counts.values()) > 1:
        raise AssemblyError(
            Reason.INCONSISTENT_FRAMES,
            "Several frames of the tomography have the same slice number, and no other vector "
            "distinguishes them. Send the series again from its original source.",
        )


def _placed(elements: Elements, whole: FrameHeader, detector: int) -> FrameHeader:
    """Give a frame the position and directions of its detector, numbered from 1 (C.8.4.11).

    Raises:
        AssemblyError: the detector or its place is absent.
    """
    items = elements.items(_DETECTORS)
    if len(items) > 1 and not 1 <= detector <= len(items):
        raise AssemblyError(
            Reason.INCONSISTENT_FRAMES,
            f"A frame is of detector {detector}, and Detector Information (0054,0022) has "
            f"{len(items)} items. Send the series again from its original source.",
        )
    if not elements.raw(_DETECTOR):
        _check_one_place(items)
    frame = whole
    if items:
        own = classic_frame(items[detector - 1 if len(items) > 1 else 0], _NO_PIXELS)
        frame = msgspec.structs.replace(
            whole,
            position=own.position or whole.position,
            orientation=own.orientation or whole.orientation,
        )
    check_plane(frame)
    return frame


def _check_one_place(items: Sequence[Elements]) -> None:
    """Refuse several positions of detectors without a Detector Vector, which would choose one."""
    places = {(item.numbers(0x00200032), item.numbers(0x00200037)) for item in items}
    if len(places - {((), ())}) > 1:
        raise AssemblyError(
            Reason.INCONSISTENT_FRAMES,
            f"Detector Information (0054,0022) has several positions for {len(items)} detectors, "
            "and no Detector Vector (0054,0020) says which one is that of the slices. Send the "
            "series again from its original source.",
        )


_NO_PIXELS: Final = PixelFormat(0, 0, 1, "MONOCHROME2", 0, 16, 16, 15, signed=False)
"""Pixel format for items of which only the place is read."""
