"""What is read of frames at once is what is read of each: no value is another frame's."""

from __future__ import annotations

import msgspec
import pytest

from node.assemble.frames import acquisition
from node.assemble.frames.model import FrameHeader, InstanceHeader, PixelFormat
from node.assemble.stacks.attribute_values import readings_of
from node.assemble.stacks.grouping import ALWAYS, BY_PLACE, Attribute, Piece

PIXELS = PixelFormat(4, 4, 1, "MONOCHROME2", 0, 16, 16, 15, False)
SETTINGS = (
    *(
        acquisition.FLIP_ANGLE,
        acquisition.KERNEL,
        acquisition.KVP,
        acquisition.FILTER,
        acquisition.ALGORITHM,
    ),
    *(acquisition.METHOD, acquisition.ATTENUATION, acquisition.CONTRAST, acquisition.CORRECTED),
    *(acquisition.INVERSION, acquisition.COIL, acquisition.VELOCITY, acquisition.TRANSFER),
    acquisition.IMAGE_CLASS,
)
OF_FRAMES: list[dict[str, object]] = [
    *({"rows": 5}, {"columns": 5}, {"kind": "phase"}, {"derived": "ADC"}, {"echo": 2}),
    {"echo_time": 3.5},
    *({"thickness": 2.5}, {"stack": "1"}, {"acquisition": 4}, {"acquisition_time": 60_000_000}),
    *({"image_type": ("DERIVED", "SECONDARY", "MPR", word)} for word in ("ADC", "other")),
    *({"settings": ((name, 30.0),)} for name in SETTINGS),
]
OF_INSTANCES: list[dict[str, object]] = [
    *({"series_number": 7}, {"frame_of_reference_uid": "1.2"}),
    {"pixels": msgspec.structs.replace(PIXELS, photometric="RGB", samples=3)},
]


def changed(**fields: object) -> Piece:
    frame = FrameHeader(0, 4, 4)
    header = InstanceHeader("1", "2", "3", "4", pixels=PIXELS)
    if fields.keys() & set(FrameHeader.__struct_fields__):
        return Piece(header, msgspec.structs.replace(frame, **fields))
    return Piece(msgspec.structs.replace(header, **fields), frame)


@pytest.mark.parametrize("attribute", [*ALWAYS, *BY_PLACE], ids=lambda one: one.name)
def test_each_frame_has_its_own_value(attribute: Attribute) -> None:
    others = [changed(**fields) for fields in (*OF_FRAMES, *OF_INSTANCES)]
    pieces = [piece for other in others for piece in (changed(), other)]
    values = [attribute.read(piece) for piece in pieces]
    assert len({repr(value) for value in values}) > 1  # else nothing here is of the attribute
    readings = readings_of(pieces)
    assert readings.of(attribute) == values
    assert readings.take([5, 0, 3]).of(attribute) == [values[5], values[0], values[3]]
