"""What assembly knows of an instance: everything that is read from a header, once, on arrival.

All structs are frozen and go through msgpack unchanged, so that a node can keep them in its index
and never parse the same header again. New fields are appended, so that old bytes stay readable.
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
        swapped: big endian words, in which 8-bit pixels come in swapped pairs.
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
        between: Spacing Between Slices, mm, as stated (the measured one counts).
        number: Instance Number; of an enhanced frame, its 1-based frame number.
        stack: Stack ID (0020,9056).
        temporal: Temporal Position Identifier or Index (0020,0100), (0020,9128).
        dimensions: Dimension Index Values (0020,9157) of the dimensions that are not spatial.
        order: the vendor's own index on the 4th axis; compares like a tuple.
        echo: Echo Number(s) (0018,0086).
        echo_time: Echo Time, ms.
        kind: magnitude, phase, real, imaginary or fieldmap; empty where nothing says.
        image_type: values of Image Type (0008,0008), or of the frame's Frame Type.
        derived: made from several volumes (ADC, trace, FA), so that it joins no other.
        acquisition: Acquisition Number.
        acquisition_time, content_time: µs since midnight, or since the year 1 if the day is known;
            a float is seconds, as headers in older indexes have them. To be read by `acquired` and
            `shown`.
        trigger_time: Trigger Time or Delay, ms.
        reference_time: Frame Reference Time (0054,1300), ms.
        slice_time: when in its volume this slice was excited, s, where the vendor says so.
        slope, intercept: value = slope·stored + intercept (C.11.1), or the vendor's precise scale.
        display_scale: (slope, intercept) of the Modality LUT where a precise scale replaced it.
        b_value: s/mm².
        gradient: diffusion direction, unit vector in LPS; absent for b = 0 and traces.
        b_matrix: xx, xy, xz, yy, yz, zz in LPS, s/mm².
        facts: what varies by frame and only the sidecar needs.
        location: Slice Location (0020,1041), mm, as stated.
        instance: Instance Number of the multi-frame image that the frame is in.
        phase_polarity: 1 where phase is encoded towards the higher row or column index of the
            stored image, -1 where against it, 0 where nothing says.
        window: first Window Center and Width (C.11.2), modality values.
        settings: (attribute, value) of how the image was acquired and reconstructed, which tell
            images apart that are otherwise alike; sorted, only those that are there.
        cardiac_percentage: Nominal Percentage of Cardiac Phase (0020,9241), % of the RR interval.
        scale: what is wrong with the slope and intercept that the header gives: `ABSENT`, where 1
            stands for the slope, `NO_INTERCEPT`, where 0 stands for the intercept, `UNREADABLE`,
            or `UNREADABLE_PRECISE`, where the Modality LUT can be read and the precise scale
            cannot; empty if nothing is.
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
    """Why an instance cannot be part of a volume, found while its header was read."""

    reason: Reason
    sentence: str


class InstanceHeader(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """One SOP instance: who it is, how its pixels are stored, its frames, and its facts.

    Attributes:
        problem: why it cannot be part of a volume, None if it can.
        announced: how many images, times or slices it says that there are, by the names of
            `node.completion.facts.Count`; evidence of completeness, not used by assembly.
        concatenation: ConcatenationUID (0020,9161); likewise.
        references: Series Instance UIDs on whose grid the instance puts labels.
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
        """What tells images apart; some tools write one SOP Instance UID into several series."""
        return self.sop_instance_uid, self.series_number or 0


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(InstanceHeader)


def encode_header(header: InstanceHeader) -> bytes:
    """Pack a header, to be kept and handed to another process."""
    return _encoder.encode(header)


def decode_header(packed: bytes) -> InstanceHeader:
    """Unpack what `encode_header` packed."""
    return _decoder.decode(packed)
