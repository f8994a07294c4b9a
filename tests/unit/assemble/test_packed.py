"""Single bits in runs, and frames that are deflated one by one."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.assemble.frames.model import PixelFormat
from node.assemble.pixels.packed import DEFLATED_FRAMES, is_packed, packed_frame
from node.core.errors import AssemblyError, Reason

RLE = "1.2.840.10008.1.2.5"
LONGEST_RUN = 128
"""Bytes that one control byte can repeat (PS3.5 G.3.1)."""


def bits(rows: int, columns: int) -> PixelFormat:
    return PixelFormat(rows, columns, 1, "MONOCHROME2", 0, 1, 1, 0, signed=False)


def runs(raw: bytes) -> bytes:
    """One segment: repeated bytes as runs, others as literals, and a byte that means nothing."""
    packed = bytearray([128])
    at = 0
    while at < len(raw):
        length = 1
        while length < LONGEST_RUN and raw[at : at + length + 1] == raw[at : at + 1] * (length + 1):
            length += 1
        packed += bytes([257 - length, raw[at]]) if length > 1 else bytes([0, raw[at]])
        at += length
    packed += b"\0" * (len(packed) % 2)
    return (1).to_bytes(4, "little") + (64).to_bytes(4, "little") + bytes(56) + bytes(packed)


def deflated(raw: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = packer.compress(raw) + packer.flush()
    return packed + b"\0" * (len(packed) % 2)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 1000))
def test_single_bits_come_back(rows: int, columns: int, seed: int) -> None:
    """Each frame begins at a byte, however many pixels it has."""
    mask = np.random.default_rng(seed).random((rows, columns)) < seed / 1000
    raw = np.packbits(mask.ravel(), bitorder="little").tobytes()
    for syntax, frame in ((RLE, runs(raw)), (DEFLATED_FRAMES, deflated(raw))):
        assert is_packed(bits(rows, columns), syntax)
        assert np.array_equal(packed_frame(frame, bits(rows, columns), syntax), mask)


def test_words_are_deflated_too() -> None:
    values = np.arange(-6, 6, dtype="<i2").reshape(3, 4)
    pixels = PixelFormat(3, 4, 1, "MONOCHROME2", 0, 16, 16, 15, signed=True)
    assert np.array_equal(packed_frame(deflated(values.tobytes()), pixels, DEFLATED_FRAMES), values)
    assert not is_packed(pixels, RLE)


@pytest.mark.parametrize("syntax", [RLE, DEFLATED_FRAMES])
@pytest.mark.parametrize("frame", [b"", b"\xff" * 100, bytes(100), runs(b"ab"), deflated(b"ab")])
def test_what_is_damaged_is_named(syntax: str, frame: bytes) -> None:
    with pytest.raises(AssemblyError) as caught:
        packed_frame(frame, bits(50, 50), syntax)
    assert caught.value.reason in {Reason.PIXELS_UNREADABLE, Reason.PIXELS_TRUNCATED}


def test_a_bomb_is_inflated_no_further_than_a_frame() -> None:
    frame = deflated(bytes(100_000_000))
    assert packed_frame(frame, bits(8, 8), DEFLATED_FRAMES).sum() == 0
