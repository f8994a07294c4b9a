"""Read the header of one instance, once, on receipt. It never fails: problems are recorded."""

from __future__ import annotations

from typing import Final, NamedTuple

from node.assemble.annotations.presence import has_graphics, has_shapes
from node.assemble.frames.classic import classic_frame
from node.assemble.frames.dose import DOSE_CLASS, dose_facts, dose_frames
from node.assemble.frames.enhanced import enhanced_frames, is_enhanced
from node.assemble.frames.model import (
    LABEL_CLASSES,
    PRESENTATION_CLASSES,
    REPORT_CLASSES,
    Facts,
    FrameHeader,
    InstanceHeader,
    PixelFormat,
    Problem,
    decode_header,
    encode_header,
)
from node.assemble.frames.nuclear import is_reconstructed, reconstructed_frames
from node.assemble.frames.shared_facts import facts_apart
from node.assemble.sidecar.standard_fields import read_facts
from node.assemble.vendors import Vendor, tiler_of, vendor_of
from node.core.errors import AssemblyError, Reason
from node.dicom import Elements, cached

__all__ = ["decode_header", "describe", "encode_header"]

FLOAT_PIXELS: Final = 0x7FE00008
DOUBLE_PIXELS: Final = 0x7FE00009
_PIXEL_NUMBERS: Final = (
    (0x00280002, "Samples per Pixel"),
    (0x00280006, "Planar Configuration"),
    (0x00280008, "Number of Frames"),
    (0x00280101, "Bits Stored"),
    (0x00280102, "High Bit"),
    (0x00280103, "Pixel Representation"),
)
"""Elements that have a default where they are absent. One that is there and unreadable is not
absent."""


def describe(elements: Elements) -> InstanceHeader:
    """Read everything that assembly and sidecars need from one instance.

    Args:
        elements: its data set, from `node.dicom.scan`.

    Returns:
        the header; its `problem` says why the instance cannot be part of a volume.
    """
    source = cached(elements, _provenance)
    pixels = cached(elements, _pixel_format)
    frames: tuple[FrameHeader, ...] = ()
    first = elements
    labelling = _is_labelling(elements, source.sop_class_uid)
    problem = None if labelling else _problem_of(elements, pixels)
    more: Facts = {}
    image_type = [part.upper() for part in elements.texts(0x00080008)]
    if problem is None and pixels is not None and not labelling:
        try:
            if source.sop_class_uid == DOSE_CLASS:
                frames, more = dose_frames(elements, pixels), dose_facts(elements)
            elif cached(elements, is_reconstructed):
                frames = reconstructed_frames(elements, pixels)
            elif is_enhanced(elements):
                frames, first = enhanced_frames(elements, pixels, source.vendor)
                more = {"ImageType": image_type} if image_type else {}
            else:
                frames = _frames(elements, pixels, source.vendor)
        except AssemblyError as error:
            problem = Problem(error.reason, error.sentence)
    frames, common = facts_apart(frames)
    return InstanceHeader(
        sop_instance_uid=elements.uid(0x00080018) or "",
        sop_class_uid=source.sop_class_uid,
        series_instance_uid=source.series_instance_uid,
        study_instance_uid=source.study_instance_uid,
        modality=source.modality,
        vendor=source.vendor.NAME if source.vendor else source.manufacturer,
        series_number=source.series_number,
        frame_of_reference_uid=source.frame_of_reference_uid,
        pixels=pixels,
        frames=frames,
        problem=problem,
        facts=cached(first, read_facts) | more | common,
        concatenation=source.concatenation,
        references=_references(elements) if labelling else (),
    )


def _is_labelling(elements: Elements, sop_class: str) -> bool:
    """Tell whether an instance labels or marks voxels of others; most reports do not."""
    if sop_class in REPORT_CLASSES:
        return has_shapes(elements)
    if sop_class in PRESENTATION_CLASSES:
        return has_graphics(elements)
    return sop_class in LABEL_CLASSES


class _Provenance(NamedTuple):
    """Series and machine, which the instances of a series mostly have in common."""

    sop_class_uid: str
    series_instance_uid: str
    study_instance_uid: str
    modality: str
    manufacturer: str
    vendor: Vendor | None
    series_number: int | None
    frame_of_reference_uid: str
    concatenation: str


def _provenance(elements: Elements) -> _Provenance:
    manufacturer = elements.text(0x00080070) or ""
    return _Provenance(
        sop_class_uid=elements.uid(0x00080016) or "",
        series_instance_uid=elements.uid(0x0020000E) or "",
        study_instance_uid=elements.uid(0x0020000D) or "",
        modality=elements.text(0x00080060) or "",
        manufacturer=manufacturer,
        vendor=vendor_of(manufacturer),
        series_number=elements.integer(0x00200011),
        frame_of_reference_uid=elements.uid(0x00200052) or "",
        concatenation=elements.uid(0x00209161) or "",
    )


def _references(elements: Elements) -> tuple[str, ...]:
    """Return the Series Instance UIDs that labels refer to (PS3.3 C.12.4, C.8.8.5, C.17.2)."""
    series = list(elements.items(0x00081115))
    for evidence in (0x0040A375, 0x0040A385):
        for study in elements.items(evidence):
            series += study.items(0x00081115)
    for frame in elements.items(0x30060010):
        for study in frame.items(0x30060012):
            series += study.items(0x30060014)
    found = (item.uid(0x0020000E) for item in series)
    return tuple(dict.fromkeys(uid for uid in found if uid))


def _pixel_format(elements: Elements) -> PixelFormat | None:
    """Read the Image Pixel module (PS3.3 C.7.6.3); None if it is absent or impossible."""
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
        tabled=elements.item(0x00283000) is not None,
    )


def _unreadable(elements: Elements) -> str:
    """Return the name of an unreadable number of the Image Pixel module; mostly empty."""
    for tag, name in _PIXEL_NUMBERS:
        raw = elements.raw(tag)
        if raw and raw.strip(b" \0") and (elements.integer(tag) is None):
            return f"{name} ({tag >> 16:04X},{tag & 0xFFFF:04X})"
    return ""


def _problem_of(elements: Elements, pixels: PixelFormat | None) -> Problem | None:
    """Return why an instance is no image of a volume, before its frames are read."""
    sop_class = elements.uid(0x00080016) or ""
    if pixels is None:
        return Problem(
            Reason.NOT_AN_IMAGE,
            "The instance holds no image: it has no Rows, Columns or Bits Allocated. It stays "
            "archived as it is.",
        )
    if elements.pixels is None:
        return Problem(
            Reason.NO_PIXEL_DATA,
            "The instance describes an image but holds no pixel data. Send it again from its "
            "original source.",
        )
    unreadable = cached(elements, _unreadable)
    if unreadable:
        return Problem(
            Reason.PIXELS_UNREADABLE,
            f"{unreadable} is not a readable number, so that the format of the pixel data is not "
            "known. Send the image again from its original source.",
        )
    placed = sop_class == DOSE_CLASS or is_enhanced(elements) or cached(elements, is_reconstructed)
    if pixels.frames > 1 and not placed:
        return Problem(
            Reason.NO_GEOMETRY,
            f"The image has {pixels.frames} frames and no positions of them. It stays archived as "
            "it is; export it as an enhanced or as single-frame images to get a volume.",
        )
    return None


def _frames(
    elements: Elements, pixels: PixelFormat, vendor: Vendor | None
) -> tuple[FrameHeader, ...]:
    """Read the single frame of a classic image, or the slices of a mosaic."""
    frame = classic_frame(elements, pixels)
    vendor = vendor or tiler_of(frame)
    if vendor is None:
        return (frame,)
    frame = vendor.refine(elements, frame)
    return vendor.tiles(elements, frame) or (frame,)
