"""Which frames of a series belong to one image: the table of attributes that separate images.

Frames are separated by what they show and how (this module), then by where they lie
(`slice_sorting`, `regions`). A value that is empty in some frames never separates them, nor do
differences that are rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from itertools import pairwise
from typing import Final, NamedTuple

from node.assemble.frames import acquisition
from node.assemble.frames.model import MICROSECONDS, Fact, FrameHeader, InstanceHeader

Value = str | float | tuple[object, ...]


class Piece(NamedTuple):
    """One frame and the instance that it is in."""

    header: InstanceHeader
    frame: FrameHeader

    @property
    def uid(self) -> str:
        """The SOP Instance UID."""
        return self.header.sop_instance_uid

    def fact(self, name: str) -> Fact | None:
        """Return a fact of the frame, or else of its instance."""
        value = self.frame.facts.get(name)
        return self.header.facts.get(name) if value is None else value


class Rule(Enum):
    """When an attribute separates frames whose values differ.

    Members:
        IDENTITY: always; frames without a value join those that have one.
        APART: always; frames without a value join those that have one, unless they lie at the same
            positions.
        AT_ONE_PLACE: if it distinguishes frames at one position, each value occurring at most of
            the positions; or if the positions of all values together are no regular grid and those
            of each value are.
        RECONSTRUCTION: as AT_ONE_PLACE, and also if the values alternate along the slices.
        ACQUISITION: never at one position (that is a time); if the positions of all values together
            are no regular grid and those of each value are, or slices of two acquisitions overlap.
    """

    IDENTITY = "identity"
    APART = "apart"
    AT_ONE_PLACE = "at one place"
    RECONSTRUCTION = "reconstruction"
    ACQUISITION = "acquisition"


class Attribute(NamedTuple):
    """One row of the table.

    Attributes:
        name: name of the attribute, for refusals.
        rule: when it separates frames.
        read: returns its value in a frame; None if it is empty or absent.
        tolerance: numbers that differ by at most this are the same value.
        part: the same as a fraction of the value.
    """

    name: str
    rule: Rule
    read: Callable[[Piece], Value | None]
    tolerance: float = 0.0
    part: float = 0.0


_KNOWN_WORDS: Final = frozenset(
    {
        *("WATER", "FAT", "W", "F", "IN_PHASE", "OUT_PHASE", "OPP_PHASE", "INPHASE", "OUTPHASE"),
        *("IP", "OP", "OPPOSED_PHASE", "FAT_FRACTION", "WATER_FRACTION", "FF"),
        *("ADC", "EADC", "FA", "TRACEW", "TENSOR", "COLFA", "AVERAGE", "ISOTROPIC"),
        *("T1", "T2", "T2_STAR", "T1_MAP", "T2_MAP", "T2_STAR_MAP", "R1", "R2", "R2_STAR", "PD"),
        *("B0", "B1", "SUB", "SUBTRACTION", "MIP", "MINIP", "MPR", "MEAN", "SWI", "MNIP"),
        *("TTP", "MTT", "RCBV", "RCBF", "CBV", "CBF", "TMAX", "PEI", "RELCBF", "RELCBV"),
        *("UNI", "INV1", "INV2", "DEN", "LOCALIZER", "SCOUT", "VELOCITY", "PHASE_SUBTRACT"),
    }
)
"""Values of Image Type after the third that say what an image shows. All others are the maker's own
(PS3.3 C.7.6.1.1.2) and separate nothing unless they distinguish images at one position."""
_MODALITY_VALUE: Final = 2
"""Index of the value of Image Type that is the modality's: AXIAL, LOCALIZER, M …"""


def _setting(name: str) -> Callable[[Piece], Value | None]:
    def read(piece: Piece) -> Value | None:
        return next((value for key, value in piece.frame.settings if key == name), None)

    return read


def _pixels(piece: Piece) -> Value | None:
    pixels = piece.header.pixels
    return None if pixels is None else (pixels.samples, pixels.photometric, pixels.kind)


def _image_type(index: int) -> Callable[[Piece], Value | None]:
    def read(piece: Piece) -> Value | None:
        values = piece.frame.image_type
        return values[index] or None if len(values) > index else None

    return read


def _known_words(piece: Piece) -> Value | None:
    words = piece.frame.image_type[_MODALITY_VALUE + 1 :]
    return tuple(word for word in words if word in _KNOWN_WORDS)


def _other_words(piece: Piece) -> Value | None:
    words = piece.frame.image_type[_MODALITY_VALUE + 1 :]
    return tuple(word for word in words if word not in _KNOWN_WORDS)


def _seconds(piece: Piece) -> Value | None:
    acquired = piece.frame.acquired
    return None if acquired is None else acquired / MICROSECONDS


STACK: Final = "Stack ID"
_PAUSE: Final = 20.0
"""s; slices of one acquisition follow each other faster than this."""
_SAME_ECHO: Final = 0.02, 0.005
"""ms, and fraction; echo times are rounded to a few decimals."""
_SAME_ANGLE: Final = 0.2
"""Degrees; flip angles are rounded to one decimal or none."""
_SAME_KVP: Final = 0.5
"""kV; tube voltages are rounded to whole kV."""
_SAME_THICKNESS: Final = 0.05, 0.02
"""mm, and fraction; slice thicknesses are rounded to one or two decimals."""
_SIZE: Final = (
    Attribute("Rows and Columns", Rule.APART, lambda p: (p.frame.rows, p.frame.columns)),
    Attribute("pixel format", Rule.APART, _pixels),
    Attribute("Series Number", Rule.IDENTITY, lambda p: p.header.series_number),
    Attribute(
        "Frame of Reference UID", Rule.IDENTITY, lambda p: p.header.frame_of_reference_uid or None
    ),
)
_SHOWN: Final = (
    Attribute("kind of image", Rule.APART, lambda p: p.frame.kind or None),
    Attribute("derivation", Rule.APART, lambda p: p.frame.derived),
    Attribute("value 2 of Image Type", Rule.APART, _image_type(1)),
    Attribute("value 3 of Image Type", Rule.APART, _image_type(_MODALITY_VALUE)),
    Attribute("Image Type", Rule.APART, _known_words),
    Attribute("Echo Number", Rule.APART, lambda p: p.frame.echo),
    Attribute("Echo Time", Rule.APART, lambda p: p.frame.echo_time or None, *_SAME_ECHO),
    Attribute(acquisition.FLIP_ANGLE, Rule.APART, _setting(acquisition.FLIP_ANGLE), _SAME_ANGLE),
    Attribute(acquisition.KERNEL, Rule.APART, _setting(acquisition.KERNEL)),
    Attribute(acquisition.KVP, Rule.APART, _setting(acquisition.KVP), _SAME_KVP),
    Attribute(acquisition.FILTER, Rule.AT_ONE_PLACE, _setting(acquisition.FILTER)),
    Attribute(acquisition.ALGORITHM, Rule.APART, _setting(acquisition.ALGORITHM)),
    Attribute(acquisition.METHOD, Rule.APART, _setting(acquisition.METHOD)),
    Attribute(acquisition.ATTENUATION, Rule.APART, _setting(acquisition.ATTENUATION)),
)
_BY_PLACE: Final = (
    Attribute(
        "Slice Thickness", Rule.RECONSTRUCTION, lambda p: p.frame.thickness, *_SAME_THICKNESS
    ),
    Attribute(
        acquisition.CONTRAST, Rule.RECONSTRUCTION, lambda p: _setting(acquisition.CONTRAST)(p) or ""
    ),
    Attribute(acquisition.CORRECTED, Rule.AT_ONE_PLACE, _setting(acquisition.CORRECTED)),
    Attribute(
        acquisition.INVERSION,
        Rule.AT_ONE_PLACE,
        _setting(acquisition.INVERSION),
        acquisition.SAME_INVERSION_MS,
        acquisition.SAME_INVERSION,
    ),
    Attribute(acquisition.COIL, Rule.AT_ONE_PLACE, _setting(acquisition.COIL)),
    Attribute(acquisition.VELOCITY, Rule.AT_ONE_PLACE, _setting(acquisition.VELOCITY)),
    Attribute(acquisition.TRANSFER, Rule.AT_ONE_PLACE, _setting(acquisition.TRANSFER)),
    Attribute(acquisition.IMAGE_CLASS, Rule.AT_ONE_PLACE, _setting(acquisition.IMAGE_CLASS)),
    Attribute("other values of Image Type", Rule.AT_ONE_PLACE, _other_words),
    Attribute(STACK, Rule.AT_ONE_PLACE, lambda p: p.frame.stack),
    Attribute("Acquisition Number", Rule.ACQUISITION, lambda p: p.frame.acquisition),
    Attribute("Acquisition Time", Rule.ACQUISITION, _seconds, _PAUSE),
)

RECONSTRUCTED: Final = frozenset(
    {
        acquisition.KERNEL,
        acquisition.KVP,
        acquisition.ALGORITHM,
        acquisition.METHOD,
        acquisition.ATTENUATION,
        acquisition.CONTRAST,
        "Slice Thickness",
    }
)
"""Attributes of two reconstructions, whose slices may lie between each other."""
ACQUIRED: Final = frozenset({"Acquisition Number", "Acquisition Time"})
"""Attributes of two acquisitions, whose slices may lie between each other if nothing else
differs."""
CLOCKED: Final = frozenset({"Acquisition Time"})
"""The attribute of these that also differs between the slices of one acquisition."""
LOOSE: Final = _SIZE
"""Attributes that separate frames even where echoes, phases and the like are to be merged."""
ALWAYS: Final = _SIZE + _SHOWN
"""Attributes that separate frames wherever they lie."""
BY_PLACE: Final = _BY_PLACE
"""Attributes that separate frames only if their positions confirm it."""


def parted(
    values: Sequence[Value | None],
    attribute: Attribute,
    meet: Callable[[list[int], list[int]], bool],
) -> list[list[int]]:
    """Separate frames by one attribute.

    Args:
        values: its value in each frame of one group.
        attribute: the attribute.
        meet: tells whether frames of two lists of indices share a position.

    Returns:
        the indices of every part, in the order of its first frame.
    """
    if values.count(values[0]) == len(values):
        return [list(range(len(values)))]
    label = same_values(values, attribute.tolerance, attribute.part)
    parts: dict[int | None, list[int]] = {}
    for index, value in enumerate(values):
        parts.setdefault(None if value is None else label[value], []).append(index)
    empty = parts.pop(None, [])
    found = list(parts.values())
    if not found:
        return [empty]
    if empty:
        joins = len(found) == 1 and (attribute.rule is not Rule.APART or not meet(empty, found[0]))
        if joins:
            found[0] = sorted(found[0] + empty)
        else:
            found.append(empty)
    return sorted(found)


def same_values(
    values: Iterable[Value | None], tolerance: float, part: float = 0.0
) -> dict[Value, int]:
    """Give every value a label; values that differ by rounding share one.

    Numbers are sorted, and a number that is within the tolerance of the one before shares its
    label.

    Args:
        values: numbers, or anything that is compared as it is; None is left out.
        tolerance: the largest difference of neighbours that are the same value.
        part: the same as a fraction of the larger one.

    Examples:
        >>> same_values([3.0, 1.0, 1.01], 0.02)
        {1.0: 0, 1.01: 0, 3.0: 1}
    """
    distinct = {value for value in values if value is not None}
    numbers = sorted(value for value in distinct if isinstance(value, int | float))
    label: dict[Value, int] = dict.fromkeys(numbers[:1], 0)
    count = 0
    for before, value in pairwise(numbers):
        count += value - before > tolerance + part * abs(value)
        label[value] = count
    count += bool(numbers)
    others = sorted((value for value in distinct if not isinstance(value, int | float)), key=repr)
    label |= {other: count + offset for offset, other in enumerate(others)}
    return label


def differences(one: Piece, other: Piece) -> tuple[Attribute, ...]:
    """Return the attributes in which two frames differ by more than rounding.

    Args:
        one: a frame.
        other: another frame.
    """
    found: list[Attribute] = []
    for attribute in (*ALWAYS, *BY_PLACE):
        label = same_values(
            [attribute.read(one), attribute.read(other)], attribute.tolerance, attribute.part
        )
        if len(set(label.values())) > 1:
            found.append(attribute)
    return tuple(found)
