"""Elements of one instance to its header: read once, on arrival, without ever failing."""

from __future__ import annotations

import math
from typing import Final

from node.assemble.facts import date_time, moment, read_facts
from node.assemble.model import (
    FIELD_MAP,
    IMAGINARY,
    MAGNITUDE,
    PHASE,
    REAL,
    FrameHeader,
    InstanceHeader,
    Orientation,
    PixelFormat,
    Problem,
    Vector,
    decode_header,
    encode_header,
)
from node.assemble.vendors import Vendor, vendor_of
from node.elements import Elements
from node.errors import AssemblyError, Reason

__all__ = ["decode_header", "describe", "encode_header"]

FLOAT_PIXELS: Final = 0x7FE00008
DOUBLE_PIXELS: Final = 0x7FE00009
_SHARED_GROUPS: Final = 0x52009229
_FRAME_GROUPS: Final = 0x52009230
_SEGMENTATION: Final = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
_DOSE: Final = "1.2.840.10008.5.1.4.1.1.481.2"

_KINDS: Final = {
    "M": MAGNITUDE,
    "MAGNITUDE": MAGNITUDE,
    "P": PHASE,
    "PHASE": PHASE,
    "R": REAL,
    "REAL": REAL,
    "I": IMAGINARY,
    "IMAGINARY": IMAGINARY,
    "B0 MAP": FIELD_MAP,
    "FIELD_MAP": FIELD_MAP,
}


def describe(elements: Elements) -> InstanceHeader:
    """Read everything that assembly and sidecars need from one instance.

    Args:
        elements: its data set, as `node.elements.scan` found it.
    """
    manufacturer = elements.text(0x00080070) or ""
    vendor = vendor_of(manufacturer)
    pixels = _pixel_format(elements)
    frames: tuple[FrameHeader, ...] = ()
    problem = _unfit(elements, pixels)
    if problem is None and pixels is not None:
        try:
            frames = _frames(elements, pixels, vendor)
        except AssemblyError as error:
            problem = Problem(error.reason, error.sentence)
    return InstanceHeader(
        sop_instance_uid=elements.uid(0x00080018) or "",
        sop_class_uid=elements.uid(0x00080016) or "",
        series_instance_uid=elements.uid(0x0020000E) or "",
        study_instance_uid=elements.uid(0x0020000D) or "",
        modality=elements.text(0x00080060) or "",
        vendor=vendor.NAME if vendor else manufacturer,
        series_number=elements.integer(0x00200011),
        frame_of_reference_uid=elements.uid(0x00200052) or "",
        pixels=pixels,
        frames=frames,
        problem=problem,
        facts=read_facts(elements),
    )


def _pixel_format(elements: Elements) -> PixelFormat | None:
    """Read the Image Pixel module; None if it is absent or makes no sense (PS3.3 C.7.6.3)."""
    rows, columns = elements.integer(0x00280010), elements.integer(0x00280011)
    allocated = elements.integer(0x00280100)
    if not rows or not columns or not allocated or min(rows, columns, allocated) < 0:
        return None
    stored = elements.integer(0x00280101) or allocated
    high = elements.integer(0x00280102)
    kinds = {FLOAT_PIXELS: "float", DOUBLE_PIXELS: "double"}
    lying = elements.pixels
    return PixelFormat(
        rows=rows,
        columns=columns,
        samples=elements.integer(0x00280002) or 1,
        photometric=elements.text(0x00280004) or "MONOCHROME2",
        planar=elements.integer(0x00280006) or 0,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=stored - 1 if high is None else high,
        signed=elements.integer(0x00280103) == 1,
        kind=kinds.get(lying.tag if lying else 0, "integer"),
        frames=elements.integer(0x00280008) or 1,
        padding=elements.integer(0x00280120),
        swapped=lying is not None and lying.vr != b"OB" and not elements.encoding.little,
    )


def _unfit(  # noqa: PLR0911 - one line for each way of not being fit
    elements: Elements, pixels: PixelFormat | None
) -> Problem | None:
    """Say why an instance is no image that volumes are made of, before its frames are read."""
    sop_class = elements.uid(0x00080016) or ""
    if pixels is None:
        return Problem(Reason.NOT_AN_IMAGE, "It holds no image: no rows and columns of pixels.")
    if elements.pixels is None:
        return Problem(Reason.NO_PIXEL_DATA, "It describes an image but holds no pixel data.")
    if sop_class in _SEGMENTATION or sop_class == _DOSE:
        return Problem(
            Reason.UNSUPPORTED_SOP_CLASS, "Segmentations and doses are not made into volumes yet."
        )
    if _FRAME_GROUPS in elements or _SHARED_GROUPS in elements:
        return Problem(
            Reason.UNSUPPORTED_SOP_CLASS, "Enhanced multi-frame images are not supported yet."
        )
    if pixels.frames > 1:
        return Problem(Reason.NO_GEOMETRY, "A multi-frame image without the positions of frames.")
    if 0x00283000 in elements:
        return Problem(
            Reason.UNSUPPORTED_PIXELS, "Its values need a Modality LUT Sequence, a table."
        )
    return None


def _frames(
    elements: Elements, pixels: PixelFormat, vendor: Vendor | None
) -> tuple[FrameHeader, ...]:
    """Read the single frame of a classic image, or the slices that a vendor tiled into it."""
    frame = _classic_frame(elements, pixels)
    if vendor is None:
        return (frame,)
    frame = vendor.refine(elements, frame)
    return vendor.tiles(elements, frame) or (frame,)


def _classic_frame(elements: Elements, pixels: PixelFormat) -> FrameHeader:
    image_type = tuple(part.upper() for part in elements.texts(0x00080008))
    slope, intercept = elements.number(0x00281053), elements.number(0x00281052)
    day = elements.text(0x00080022) or elements.text(0x00080021)
    return FrameHeader(
        index=0,
        rows=pixels.rows,
        columns=pixels.columns,
        position=_vector(elements.numbers(0x00200032)),
        orientation=_orientation(elements.numbers(0x00200037)),
        spacing=_pair(elements.numbers(0x00280030)),
        thickness=elements.number(0x00180050),
        between=elements.number(0x00180088),
        number=elements.integer(0x00200013),
        temporal=elements.integer(0x00200100),
        echo=elements.integer(0x00180086),
        echo_time=elements.number(0x00180081),
        kind=kind_of(image_type),
        image_type=image_type,
        acquisition=elements.integer(0x00200012),
        acquisition_time=date_time(elements.text(0x0008002A))
        or moment(day, elements.text(0x00080032)),
        content_time=moment(elements.text(0x00080023) or day, elements.text(0x00080033)),
        trigger_time=elements.number(0x00181060),
        reference_time=elements.number(0x00541300),
        slope=1.0 if slope is None else slope,
        intercept=0.0 if intercept is None else intercept,
        b_value=elements.number(0x00189087),
        gradient=unit_vector(elements.numbers(0x00189089)),
        location=elements.number(0x00201041),
    )


def kind_of(image_type: tuple[str, ...]) -> str:
    """Tell magnitude, phase and so on from Image Type (PS3.3 C.8.3.1.1.1, C.8.13.3.1.1)."""
    for part in image_type[2:]:
        if part in _KINDS:
            return _KINDS[part]
    return ""


def unit_vector(values: tuple[float, ...]) -> Vector | None:
    """Return a direction of length 1, None for a zero vector or anything that is none."""
    vector = _vector(values)
    if vector is None:
        return None
    length = math.hypot(*vector)
    return (vector[0] / length, vector[1] / length, vector[2] / length) if length > 1e-6 else None


def _vector(values: tuple[float, ...]) -> Vector | None:
    return (values[0], values[1], values[2]) if len(values) == 3 else None


def _pair(values: tuple[float, ...]) -> tuple[float, float] | None:
    return (values[0], values[1]) if len(values) == 2 else None


def _orientation(values: tuple[float, ...]) -> Orientation | None:
    if len(values) != 6:
        return None
    return (values[0], values[1], values[2], values[3], values[4], values[5])
