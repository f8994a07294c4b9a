"""Enhanced multi-frame images: functional groups to frames (PS3.3 C.7.6.16)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from node.assemble.frames.classic import classic_frame, kind_of
from node.assemble.frames.dimensions import Dimensions, read_dimensions
from node.assemble.frames.model import FIELD_MAP, FrameHeader, PixelFormat
from node.assemble.pixels.rescale import is_unreadable
from node.assemble.sidecar.standard_fields import date_time
from node.assemble.vendors import Vendor
from node.core.errors import AssemblyError, Reason
from node.dicom import Elements, whole

SHARED_GROUPS: Final = 0x52009229
FRAME_GROUPS: Final = 0x52009230
_CONVERTED: Final = (0x00209170, 0x00209171)
"""Unassigned Shared and Per-Frame Converted Attributes Sequence, of Legacy Converted Enhanced
images; real functional groups rank above them (C.7.6.16.1.3)."""
_NESTED: Final = (0x00189076, 0x00189601)
"""Sequences whose one item belongs to the frame: direction and b-matrix (C.8.13.5.9)."""
_B_MATRIX: Final = range(0x00189602, 0x00189608)
_CONCATENATION: Final = 0x00209161
PARAMETRIC_MAP: Final = "1.2.840.10008.5.1.4.1.1.30"
_WORLD_SLOPE, _WORLD_INTERCEPT = 0x00409225, 0x00409224
_WORLD_TABLE: Final = 0x00409212
_UNITS, _CODE_VALUE = 0x004008EA, 0x00080100
_INDEX_VALUES: Final = 0x00209157
_UNWEIGHTED: Final = "NONE"
_ISOTROPIC: Final = "ISOTROPIC"
_DIRECTIONAL: Final = frozenset({"DIRECTIONAL", "BMATRIX"})


def is_enhanced(elements: Elements) -> bool:
    """Tell whether an instance has functional groups."""
    return FRAME_GROUPS in elements or SHARED_GROUPS in elements


def enhanced_frames(
    elements: Elements, pixels: PixelFormat, vendor: Vendor | None
) -> tuple[tuple[FrameHeader, ...], Elements]:
    """Read the frames of an enhanced image.

    Args:
        elements: the instance.
        pixels: its pixel format.
        vendor: reads the maker's private elements; None if the maker is not known.

    Returns:
        its frames, and the instance overlaid with the first frame's groups, in which facts are
        where a classic image has them.

    Raises:
        AssemblyError: the number of functional groups is not that of frames.
    """
    dimensions = read_dimensions(elements)
    frames: list[FrameHeader] = []
    weightings: list[str] = []
    first = elements
    for index, view in enumerate(frame_elements(elements, pixels.frames)):
        if index == 0:
            first = view
        frame = _frame(view, pixels, dimensions, index)
        frames.extend(_refined(view, frame, vendor))
        weightings += [view.text(0x00189075) or ""] * (len(frames) - len(weightings))
    return tuple(_traces_apart(frames, weightings)), first


def frame_elements(elements: Elements, count: int) -> Iterator[Elements]:
    """Yield, for every frame, the instance overlaid with the frame's functional groups.

    The item of every group is opened, so that Image Position (Patient) is found where a classic
    image has it; private elements of private groups too, unless they are there already. The
    sequences themselves remain.

    Args:
        elements: the instance.
        count: Number of Frames (0028,0008).

    Raises:
        AssemblyError: the number of items is not that of frames.
    """
    shared = elements.item(SHARED_GROUPS)
    base = elements if shared is None else _opened(elements, shared)
    groups = elements.items(FRAME_GROUPS)
    if not groups and count == 1:
        yield base
        return
    if len(groups) != count:
        raise AssemblyError(
            Reason.INCONSISTENT_FRAMES,
            f"The image has {count} frames, and functional groups for {len(groups)} of them. Send "
            "it again from its original source.",
        )
    for group in groups:
        yield _opened(base, group)


def _opened(base: Elements, group: Elements) -> Elements:
    """Overlay elements with the macros of one item of functional groups."""
    converted: list[Elements] = []
    standard: list[Elements] = []
    private: list[Elements] = []
    for tag in group:
        item = group.item(tag) if group.vr(tag) == "SQ" else None
        if item is None:
            continue
        if tag & 0x10000:
            private.append(item)
        elif tag in _CONVERTED:
            converted.append(item)
        else:
            standard.append(item)
            standard += [inner for nested in _NESTED if (inner := item.item(nested)) is not None]
    laid = base.overlaid([*converted, group, *standard])
    return laid.overlaid(private, private=True) if private else laid


def _refined(view: Elements, frame: FrameHeader, vendor: Vendor | None) -> tuple[FrameHeader, ...]:
    if vendor is None:
        return (frame,)
    frame = vendor.refine(view, frame)
    return vendor.tiles(view, frame) or (frame,)


def _frame(view: Elements, pixels: PixelFormat, dimensions: Dimensions, index: int) -> FrameHeader:
    """Read one frame: the attributes of classic images, then those of enhanced ones only."""
    frame = classic_frame(view, pixels)
    if view.uid(0x00080016) == PARAMETRIC_MAP:
        frame = _measured(view, frame)
    offset = view.integer(0x00209228) or 0
    frame_type = tuple(part.upper() for part in view.texts(0x00089007)) or frame.image_type
    component = kind_of(("", "", view.text(0x00089208) or ""))
    kind = kind_of(frame_type)
    temporal = view.integer(0x00209128)
    acquisition = view.integer(0x00209156)
    stated = view.numbers(_INDEX_VALUES)
    values = tuple(number for each in stated if (number := whole(each)) is not None)
    if len(values) < len(stated):
        raise AssemblyError(
            Reason.INCONSISTENT_FRAMES,
            f"The Dimension Index Values (0020,9157) of frame {index + 1} are not whole numbers. "
            "Send the image again from its original source.",
        )
    matrix = tuple(value for tag in _B_MATRIX if (value := view.number(tag)) is not None)
    acquired = date_time(view.text(0x00189074)) or date_time(view.text(0x00189151))
    unweighted = view.text(0x00189075) == _UNWEIGHTED and frame.b_value is None
    return msgspec.structs.replace(
        frame,
        index=index,
        number=offset + index + 1 if pixels.frames > 1 else frame.number,
        stack=view.text(0x00209056),
        temporal=frame.temporal if temporal is None else temporal,
        dimensions=dimensions.beyond_space(values),
        echo_time=_first(view.number(0x00189082), frame.echo_time),
        kind=kind if kind == FIELD_MAP else component or kind or frame.kind,
        image_type=frame_type,
        acquisition=frame.acquisition if acquisition is None else acquisition,
        acquisition_time=frame.acquisition_time if acquired is None else acquired,
        trigger_time=_first(view.number(0x00209153), frame.trigger_time),
        b_value=0.0 if unweighted else frame.b_value,
        b_matrix=matrix if len(matrix) == len(_B_MATRIX) else (),
        instance=_image_number(view, pixels),
    )


def _image_number(view: Elements, pixels: PixelFormat) -> int | None:
    """Return Instance Number of a multi-frame image that is no part of a concatenation."""
    if pixels.frames < 2 or _CONCATENATION in view:
        return None
    return view.integer(0x00200013)


def _measured(view: Elements, frame: FrameHeader) -> FrameHeader:
    """Give a frame of a parametric map the scale and unit of what it measures.

    The first item of Real World Value Mapping alone gives its stored values a meaning (PS3.3 A.75,
    C.7.6.16.2.11). Other images have a Modality LUT, which stays.

    Raises:
        AssemblyError: the mapping is a table, absent or unreadable.
    """
    if is_unreadable(view, _WORLD_SLOPE) or is_unreadable(view, _WORLD_INTERCEPT):
        raise AssemblyError(
            Reason.UNREADABLE_SCALE,
            "Real World Value Slope (0040,9225) or Intercept (0040,9224) of a parametric map is "
            "not a number, so that its values are not known. Correct them, or send the map again "
            "from its original source.",
        )
    slope, intercept = view.number(_WORLD_SLOPE), view.number(_WORLD_INTERCEPT)
    if slope is None or intercept is None:
        found = "is a table" if _WORLD_TABLE in view else "is absent"
        raise AssemblyError(
            Reason.UNSUPPORTED_PIXELS,
            f"The Real World Value Mapping of a parametric map {found}. Only Real World Value "
            "Slope (0040,9225) and Intercept (0040,9224) are supported: export the map with them.",
        )
    coded = view.item(_UNITS)
    unit = coded.text(_CODE_VALUE) if coded else None
    facts = frame.facts | ({"Units": unit} if unit else {})
    return msgspec.structs.replace(frame, slope=slope, intercept=intercept, scale="", facts=facts)


def _first(value: float | None, other: float | None) -> float | None:
    return other if value is None else value


def _traces_apart(frames: list[FrameHeader], weightings: list[str]) -> list[FrameHeader]:
    """Mark isotropic frames, which the scanner derived from directional ones in the instance."""
    if _DIRECTIONAL.isdisjoint(weightings):
        return frames
    return [
        msgspec.structs.replace(frame, derived="trace")
        if weighting == _ISOTROPIC and frame.b_value and not frame.derived
        else frame
        for frame, weighting in zip(frames, weightings, strict=True)
    ]
