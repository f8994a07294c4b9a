"""The header of an instance: everything that assembly knows about it, read once on receipt.

All structs are frozen and are packed by msgpack, so that the node keeps them in its index and never
parses the same header again. New fields are appended, so that older packed headers stay readable.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from node.core.errors import Reason

Vector = tuple[float, float, float]
Orientation = tuple[float, float, float, float, float, float]
Fact = str | int | float | bool | list[Any]
Facts = dict[str, Fact]
"""Sidecar fields by their BIDS name, in BIDS units; no geometry depends on them."""

MAGNITUDE: Final = "magnitude"
PHASE: Final = "phase"
REAL: Final = "real"
IMAGINARY: Final = "imaginary"
FIELD_MAP: Final = "fieldmap"


MICROSECONDS: Final = 1e6

ABSENT: Final = "absent"
NO_INTERCEPT: Final = "no intercept"
UNREADABLE: Final = "unreadable"
UNREADABLE_PRECISE: Final = "unreadable precise"

STRUCTURE_SET: Final = "1.2.840.10008.5.1.4.1.1.481.3"
REPORT_CLASSES: Final = frozenset(f"1.2.840.10008.5.1.4.1.1.88.{last}" for last in (22, 33, 34, 35))
"""Structured reports that can hold coordinates: Enhanced, Comprehensive, 3D, Extensible."""
PRESENTATION_CLASSES: Final = frozenset(
    f"1.2.840.10008.5.1.4.1.1.11.{last}" for last in (1, 2, 3, 4)
)
"""Softcopy presentation states that are for images as they are: grayscale, colour, blended."""
LABEL_CLASSES: Final = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.66.4",
        "1.2.840.10008.5.1.4.1.1.66.7",
        STRUCTURE_SET,
        *REPORT_CLASSES,
        *PRESENTATION_CLASSES,
    }
)
"""SOP classes whose instances label or mark the voxels of another series: segmentations and
contours, and reports and presentation states if they have coordinates."""


class PixelFormat(msgspec.Struct, frozen=True, array_like=True):
    """How pixel values are stored (PS3.3 C.7.6.3, PS3.5 8.1).

    Attributes:
        kind: "integer", "float" (7FE0,0008) or "double" (7FE0,0009).
        frames: Number of Frames (0028,0008), 1 where absent.
        padding: Pixel Padding Value (0028,0120), as stored.
        swapped: 8-bit pixels are in big endian words, and so in swapped pairs.
        tabled: a Modality LUT Sequence (0028,3000) stands between stored and modality values.
    """

    rows: int
    columns: int
    samples: int
    photometric: str
    planar: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    kind: str = "integer"
    frames: int = 1
    padding: int | None = None
    swapped: bool = False
    tabled: bool = False


class FrameHeader(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """One two-dimensional image: a classic instance, a frame of an enhanced one, a mosaic tile.

    Attributes:
        index: 0-based frame in the pixel data.
        rows, columns: size in pixels.
        tile: (row, column) of the first pixel inside the stored frame, for mosaics.
        position: Image Position (Patient), LPS mm: centre of the first pixel (C.7.6.2.1.1).
        orientation: Image Orientation (Patient): unit vectors along a row, along a column.
        spacing: Pixel Spacing, mm: between rows, between columns (PS3.3 10.7.1.3).
        thickness: Slice Thickness, mm.
        between: Spacing Between Slices, mm, as stated; geometry uses the measured distance.
        number: Instance Number; of an enhanced frame, its 1-based frame number.
        stack: Stack ID (0020,9056).
        temporal: Temporal Position Identifier or Index (0020,0100), (0020,9128).
        dimensions: Dimension Index Values (0020,9157) of the dimensions that are not spatial.
        order: the vendor's own index on the 4th axis; compared as a tuple.
        echo: Echo Number(s) (0018,0086).
        echo_time: Echo Time, ms.
        kind: magnitude, phase, real, imaginary or fieldmap; empty if not stated.
        image_type: values of Image Type (0008,0008), or of the frame's Frame Type.
        derived: what the image was computed to be (ADC, trace, FA); it joins no measured volume.
        acquisition: Acquisition Number.
        acquisition_time, content_time: µs since midnight, or since the year 1 if the day is known;
            a float is in seconds, as in headers of older indexes. Use `acquired` and `shown`.
        trigger_time: Trigger Time or Delay, ms.
        reference_time: Frame Reference Time (0054,1300), ms.
        slice_time: s within its volume when this slice was excited, if the vendor states it.
        slope, intercept: value = slope·stored + intercept (C.11.1), or the vendor's precise scale.
        display_scale: (slope, intercept) of the Modality LUT where a precise scale replaced it.
        b_value: s/mm².
        gradient: diffusion direction, unit vector in LPS; absent for b = 0 and traces.
        b_matrix: xx, xy, xz, yy, yz, zz in LPS, s/mm².
        facts: sidecar fields that vary from frame to frame.
        location: Slice Location (0020,1041), mm, as stated.
        instance: Instance Number of the multi-frame image that the frame is in.
        phase_polarity: 1 if phase is encoded towards the higher row or column index of the stored
            image, -1 if against it, 0 if not known.
        window: first Window Center and Width (C.11.2), modality values.
        settings: (name, value) of acquisition and reconstruction settings that are present, sorted;
            they distinguish images that are otherwise equal.
        cardiac_percentage: Nominal Percentage of Cardiac Phase (0020,9241), % of the RR interval.
        scale: what is wrong with slope and intercept in the header: `ABSENT` (the slope is then 1),
            `NO_INTERCEPT` (the intercept is then 0), `UNREADABLE`, or `UNREADABLE_PRECISE` (the
            Modality LUT is readable and the precise scale is not); empty if nothing is wrong.
    """

    index: int
    rows: int
    columns: int
    tile: tuple[int, int] | None = None
    position: Vector | None = None
    orientation: Orientation | None = None
    spacing: tuple[float, float] | None = None
    thickness: float | None = None
    between: float | None = None
    number: int | None = None
    stack: str | None = None
    temporal: int | None = None
    dimensions: tuple[int, ...] = ()
    order: tuple[float, ...] = ()
    echo: int | None = None
    echo_time: float | None = None
    kind: str = ""
    image_type: tuple[str, ...] = ()
    derived: str = ""
    acquisition: int | None = None
    acquisition_time: int | float | None = None
    content_time: int | float | None = None
    trigger_time: float | None = None
    reference_time: float | None = None
    slice_time: float | None = None
    slope: float = 1.0
    intercept: float = 0.0
    display_scale: tuple[float, float] | None = None
    b_value: float | None = None
    gradient: Vector | None = None
    b_matrix: tuple[float, ...] = ()
    facts: Facts = {}
    location: float | None = None
    instance: int | None = None
    phase_polarity: int = 0
    window: tuple[float, float] | None = None
    settings: tuple[tuple[str, str | float], ...] = ()
    cardiac_percentage: float | None = None
    scale: str = ""

    @property
    def acquired(self) -> int | None:
        """When it was acquired, µs."""
        return _microseconds(self.acquisition_time)

    @property
    def shown(self) -> int | None:
        """When the image was made, µs."""
        return _microseconds(self.content_time)


def _microseconds(time: float | None) -> int | None:
    return round(time * MICROSECONDS) if isinstance(time, float) else time


class Problem(msgspec.Struct, frozen=True, array_like=True):
    """Why an instance cannot be part of a volume, found when its header was read.

    Attributes:
        reason: name of the refusal.
        sentence: the refusal, for a PACS administrator.
    """

    reason: Reason
    sentence: str


class InstanceHeader(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """One SOP instance: its UIDs, how its pixels are stored, its frames and its sidecar facts.

    Attributes:
        problem: why it cannot be part of a volume; None if it can.
        announced: numbers of images, times or slices that it states, by the names of
            `node.completion.facts.Count`; evidence of completeness, not used by assembly.
        concatenation: Concatenation UID (0020,9161); likewise.
        references: Series Instance UIDs of the images that the instance labels.
    """

    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    study_instance_uid: str
    modality: str = ""
    vendor: str = ""
    series_number: int | None = None
    frame_of_reference_uid: str = ""
    pixels: PixelFormat | None = None
    frames: tuple[FrameHeader, ...] = ()
    problem: Problem | None = None
    facts: Facts = {}
    announced: dict[str, int] = {}
    concatenation: str = ""
    references: tuple[str, ...] = ()

    @property
    def identity(self) -> tuple[str, int]:
        """The key of an image: some tools write one SOP Instance UID into several series."""
        return self.sop_instance_uid, self.series_number or 0


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(InstanceHeader)


def encode_header(header: InstanceHeader) -> bytes:
    """Pack a header for the index or for another process."""
    return _encoder.encode(header)


def decode_header(packed: bytes) -> InstanceHeader:
    """Unpack a header that `encode_header` packed."""
    return _decoder.decode(packed)
