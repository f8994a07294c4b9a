"""Cases: good associations, command sets and data sets, and what a mutator makes of them."""

from __future__ import annotations

import random
import struct
from typing import Final

from node.dimse.upper_layer.messages import C_STORE_RQ, encode_command
from node.dimse.upper_layer.pdus import Proposal, associate_rq, pdu

MR: Final = "1.2.840.10008.5.1.4.1.1.4"
VERIFICATION: Final = "1.2.840.10008.1.1"
SYNTAXES: Final = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.4.50",
)
CONTEXT: Final = 3
EXPLICIT: Final = SYNTAXES[1]
_INTERESTING: Final = (0, 1, 2, 3, 4, 5, 6, 7, 8, 0x7F, 0x80, 0xFE, 0xFF)
_LENGTHS: Final = (0, 1, 2, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
_TOKENS: Final = (
    b"\xfe\xff\x00\xe0\xff\xff\xff\xff",  # an item without length
    b"\xfe\xff\x0d\xe0\x00\x00\x00\x00",
    b"\xfe\xff\xdd\xe0\x00\x00\x00\x00",
    b"\x08\x00\x40\x11SQ\x00\x00\xff\xff\xff\xff",
    b"\xe0\x7f\x10\x00OW\x00\x00\x10\x00\x00\x00",
    b"\x04\x00\x00\x00\x00\x08",
    b"\x05\x00\x00\x00\x00\x04\x00\x00\x00\x00",
    b"../../x",
    b"\0" * 16,
)


def uid(rng: random.Random) -> str:
    """A new SOP Instance UID."""
    return f"2.25.{rng.getrandbits(100)}"


def data_set(rng: random.Random, instance: str) -> bytes:
    """A small MR image in Explicit VR Little Endian, with a sequence and private elements."""
    side = rng.choice((2, 8, 16))
    pixels = rng.randbytes(side * side * 2)
    item = b"\xfe\xff\x00\xe0" + struct.pack("<L", 0xFFFFFFFF)
    nested = item + _short(0x0008, 0x1155, "UI", "1.2.3") + b"\xfe\xff\x0d\xe0" + bytes(4)
    sequence = struct.pack("<HH2sHL", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF)
    return b"".join(
        (
            _short(0x0008, 0x0016, "UI", MR),
            _short(0x0008, 0x0018, "UI", instance),
            _short(0x0008, 0x0060, "CS", "MR"),
            sequence + nested + b"\xfe\xff\xdd\xe0" + bytes(4),
            _short(0x0010, 0x0010, "PN", "FUZZ"),
            _short(0x0020, 0x000D, "UI", "1.2.3.1"),
            _short(0x0020, 0x000E, "UI", f"1.2.3.2.{rng.randrange(4)}"),
            _short(0x0020, 0x0013, "IS", str(rng.randrange(99))),
            _short(0x0028, 0x0010, "US", struct.pack("<H", side)),
            _short(0x0028, 0x0011, "US", struct.pack("<H", side)),
            _short(0x0029, 0x0010, "LO", "FUZZ"),
            struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, len(pixels)) + pixels,
        )
    )


def associate(rng: random.Random) -> bytes:
    """An A-ASSOCIATE-RQ."""
    proposals = [
        Proposal(VERIFICATION, SYNTAXES[:1]),
        Proposal(MR, (EXPLICIT,)),
        *(Proposal(MR, (rng.choice(SYNTAXES),)) for _ in range(rng.randrange(3))),
    ]
    return associate_rq(
        "FUZZ",
        "RASNODE",
        proposals,
        max_pdu=rng.choice((0, 1, 4096, 131072)),
        implementation_class_uid="1.2.3",
        implementation_version_name="FUZZ",
    )


def command(rng: random.Random, instance: str) -> bytes:
    """A C-STORE-RQ's command set."""
    return encode_command(
        {
            "AffectedSOPClassUID": MR,
            "CommandField": C_STORE_RQ,
            "MessageID": rng.randrange(1, 65536),
            "Priority": 0,
            "CommandDataSetType": 1,
            "AffectedSOPInstanceUID": instance,
        }
    )


def message(rng: random.Random, encoded: bytes, data: bytes) -> bytes:
    """A request as P-DATA-TF PDUs, cut anyhow."""
    parts = [_values(CONTEXT, 1, _cut(rng, encoded)), _values(CONTEXT, 0, _cut(rng, data))]
    values = [value for part in parts for value in part]
    pdus = []
    while values:
        count = rng.randrange(1, len(values) + 1)
        pdus.append(pdu(4, b"".join(values[:count])))
        values = values[count:]
    return b"".join(pdus)


def mutated(rng: random.Random, good: bytes) -> bytes:
    """Some damage."""
    data = bytearray(good)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.choice((1, 2, 4, 16, 200)))
        match rng.randrange(8):
            case 0:
                del data[at:]
            case 1:
                del data[at:end]
            case 2:
                data[at:at] = data[at:end]
            case 3:
                data[at:at] = rng.choice(_TOKENS)
            case 4:
                data[at : at + 4] = struct.pack(rng.choice("<>") + "L", rng.choice(_LENGTHS))
            case 5:
                data[at : at + 2] = struct.pack("<H", rng.choice(_LENGTHS) & 0xFFFF)
            case 6:
                data[at : at + 1] = bytes((rng.choice(_INTERESTING),))
            case _:
                data[at : at + 1] = rng.randbytes(1)
        if not data:
            return b""
    return bytes(data)


def _short(group: int, element: int, vr: str, value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    raw += (b"\0" if vr == "UI" else b" ") * (len(raw) % 2)
    return struct.pack("<HH2sH", group, element, vr.encode(), len(raw)) + raw


def _cut(rng: random.Random, data: bytes) -> list[bytes]:
    places = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(3)))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


def _values(context: int, flags: int, parts: list[bytes]) -> list[bytes]:
    *before, last = parts
    return [
        *(struct.pack(">LBB", len(part) + 2, context, flags) + part for part in before),
        struct.pack(">LBB", len(last) + 2, context, flags | 2) + last,
    ]
