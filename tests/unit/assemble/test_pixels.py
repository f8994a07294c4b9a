"""Stored values, voxel types and scales."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from node.assemble.frames.model import FrameHeader, InstanceHeader, PixelFormat
from node.assemble.pixels.stored_values import check_supported, native_frame
from node.assemble.pixels.voxel_values import choose, finish
from node.assemble.stacks.slice_sorting import Piece
from node.core.errors import AssemblyError, Reason

PLAIN = PixelFormat(
    rows=2, columns=3, samples=1, photometric="MONOCHROME2", planar=0,
    bits_allocated=16, bits_stored=16, high_bit=15, signed=False,
)  # fmt: skip


def like(**changes: Any) -> PixelFormat:
    made = msgspec.structs.replace(PLAIN, **changes)
    return msgspec.structs.replace(made, high_bit=changes.get("high_bit", made.bits_stored - 1))


def piece(pixels: PixelFormat, slope: float = 1.0, intercept: float = 0.0) -> Piece:
    frame = FrameHeader(0, 2, 3, slope=slope, intercept=intercept)
    return Piece(InstanceHeader("1", "2", "3", "4", pixels=pixels, frames=(frame,)), frame)


@pytest.mark.parametrize("little", [True, False])
@pytest.mark.parametrize(
    ("code", "allocated", "signed"),
    [("u1", 8, False), ("i1", 8, True), ("u2", 16, False), ("i2", 16, True), ("i4", 32, True)],
)
def test_whole_values(code: str, allocated: int, signed: bool, little: bool) -> None:
    values = np.arange(-3 if signed else 1, 3 if signed else 7).astype(code).reshape(2, 3)
    stored = values.astype(values.dtype.newbyteorder("<" if little else ">")).tobytes()
    pixels = like(
        bits_allocated=allocated, bits_stored=allocated, signed=signed, swapped=not little
    )
    if allocated == 8 and not little:
        stored = np.frombuffer(stored, "u2").byteswap().tobytes()
    assert (native_frame(stored, pixels, little=little) == values).all()


def test_bytes_are_not_swapped_when_they_are_bytes() -> None:
    pixels = like(bits_allocated=8, bits_stored=8)
    assert native_frame(bytes(range(6)), pixels, little=False).ravel().tolist() == list(range(6))


@pytest.mark.parametrize("signed", [False, True])
def test_dirty_high_bits_are_dropped_and_the_sign_extended(signed: bool) -> None:
    stored = np.array([0xF001, 0x0FFF, 0xA800, 0, 5, 0x7FF], "<u2")
    found = native_frame(stored.tobytes(), like(bits_stored=12, signed=signed), little=True)
    expected = [1, -1, -2048, 0, 5, 2047] if signed else [1, 4095, 2048, 0, 5, 2047]
    assert found.ravel().tolist() == expected


def test_bits_that_do_not_start_at_zero() -> None:
    stored = (np.array([1, 2, 3, 4, 5, 1023], "<u2") << 4) | 0x8003
    found = native_frame(stored.tobytes(), like(bits_stored=10, high_bit=13), little=True)
    assert found.ravel().tolist() == [1, 2, 3, 4, 5, 1023]


@pytest.mark.parametrize("kind", ["float", "double"])
def test_floating_point(kind: str) -> None:
    code = "<f4" if kind == "float" else "<f8"
    bits = 32 if kind == "float" else 64
    values = np.array([0.5, -1, 2, 3, 4, np.nan], code)
    pixels = like(kind=kind, bits_allocated=bits, bits_stored=bits)
    assert np.array_equal(
        native_frame(values.tobytes(), pixels, little=True).ravel(), values, equal_nan=True
    )


def test_truncated_frame() -> None:
    with pytest.raises(AssemblyError) as caught:
        native_frame(b"\0" * 11, PLAIN, little=True)
    assert caught.value.reason is Reason.PIXELS_TRUNCATED


@pytest.mark.parametrize(
    "changes",
    [
        {"samples": 4},
        {"samples": 3, "bits_allocated": 16},
        {"bits_allocated": 12},
        {"bits_stored": 17},
        {"bits_stored": 12, "high_bit": 10},
    ],
)
def test_formats_that_would_be_misread(changes: dict[str, Any]) -> None:
    with pytest.raises(AssemblyError) as caught:
        check_supported(like(**changes))
    assert caught.value.reason is Reason.UNSUPPORTED_PIXELS


@pytest.mark.parametrize(
    ("pixels", "scales", "dtype", "scaled"),
    [
        (like(bits_stored=12), [(1, -1024)], "i2", True),
        (like(), [(1, 0)], "u2", True),
        (like(signed=True), [(1, -1024)], "i2", False),
        (like(bits_allocated=8, bits_stored=8), [(1, 0)], "u1", True),
        (like(bits_allocated=8, bits_stored=8), [(1, -1024)], "u1", False),
        (like(bits_stored=12), [(1.5, 0)], "i2", False),
        (like(bits_stored=12), [(1, 0), (2, 3)], "i2", True),
        (like(bits_stored=12), [(1.5, 0), (2.5, 0)], "f4", True),
        (like(bits_allocated=32, bits_stored=32), [(1.5, 0), (2.5, 0)], "f8", True),
        (like(bits_allocated=32, bits_stored=32, signed=True), [(1, 0)], "i4", True),
        (like(kind="float", bits_allocated=32), [(1, 0)], "f4", True),
        (like(kind="double", bits_allocated=64), [(1, 0)], "f8", True),
    ],
)
def test_the_smallest_exact_type(
    pixels: PixelFormat, scales: list[tuple[float, float]], dtype: str, scaled: bool
) -> None:
    values = choose([piece(pixels, float(slope), float(shift)) for slope, shift in scales])
    assert values.dtype == np.dtype(dtype)
    assert values.scaled is scaled


@pytest.mark.parametrize(
    ("stored", "intercept", "dtype", "scale"),
    [
        (np.array([0, 33000], "u2"), -1024, "i2", (1, 0)),
        (np.array([0, 34000], "u2"), -1024, "u2", (1, -1024)),
        (np.array([0, 40000], "u2"), 0, "u2", (1, 0)),
        (np.array([0, 30000], "u2"), 0, "i2", (1, 0)),
        (np.array([-2000, 3000], "i2"), -1024, "i2", (1, 0)),
        (np.array([-32000, 3000], "i2"), -1024, "i2", (1, -1024)),
    ],
)
def test_shifts_are_applied_where_they_fit(
    stored: np.ndarray, intercept: int, dtype: str, scale: tuple[float, float]
) -> None:
    expected = stored.astype(int) + intercept
    values = choose([piece(like(signed=stored.dtype.kind == "i"), 1.0, float(intercept))])
    assert values.scaled is (intercept == 0)
    array, slope, shift = finish(stored.copy(), values)
    assert array.dtype == np.dtype(dtype)
    assert (slope, shift) == scale
    assert (array.astype(int) + int(shift) == expected).all()
