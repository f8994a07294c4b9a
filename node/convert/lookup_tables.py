"""Lookup tables for stored values: palettes and Modality LUTs, read with the pixels."""

from __future__ import annotations

from typing import Final

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from node.assemble.pixels.codecs import strips
from node.assemble.pixels.stored_values import Image
from node.core.errors import AssemblyError, Reason
from node.dicom import Buffer, Elements, scan

MODALITY_LUT: Final = 0x00283000
_DESCRIPTOR: Final = 0x00283002
_ENTRIES: Final = 0x00283006
_COLOURS: Final = ("Red", "Green", "Blue")
_PALETTE_DESCRIPTORS: Final = (0x00281101, 0x00281102, 0x00281103)
_PALETTES: Final = (0x00281201, 0x00281202, 0x00281203)
_SEGMENTED: Final = (0x00281221, 0x00281222, 0x00281223)
WANTED: Final = frozenset(
    {MODALITY_LUT, 0x00280103, *_PALETTE_DESCRIPTORS, *_PALETTES, *_SEGMENTED}
)
_FULL_TABLE: Final = 1 << 16
"""Number of entries that is written as 0 (PS3.3 C.7.6.3.1.5, C.11.1.1.1)."""


def palette_of(data: Buffer, transfer_syntax_uid: str) -> Dataset:
    """Read the Palette Color Lookup Tables of an instance (PS3.3 C.7.9).

    Args:
        data: the data set, inflated.
        transfer_syntax_uid: of the data set.
    """
    elements = scan(data, transfer_syntax_uid, wanted=WANTED).elements
    palette = Dataset()
    palette.set_original_encoding(is_implicit_vr=False, is_little_endian=True)
    for colour, descriptor, plain, segmented in zip(
        _COLOURS, _PALETTE_DESCRIPTORS, _PALETTES, _SEGMENTED, strict=True
    ):
        stated = [int(value) & 0xFFFF for value in elements.numbers(descriptor)]
        key = f"{colour}PaletteColorLookupTable"
        setattr(palette, f"{key}Descriptor", stated)
        for name, tag in ((f"{key}Data", plain), (f"Segmented{key}Data", segmented)):
            if tag in elements:
                setattr(palette, name, _little(elements, tag))
    return palette


def coloured(stored: Image, palette: Dataset) -> Image:
    """Turn palette indices into colours.

    Args:
        stored: (rows, columns) palette indices.
        palette: from `palette_of`.

    Returns:
        (rows, columns, 3) uint8, RGB.

    Raises:
        AssemblyError: the palette is absent or damaged.
    """
    result = np.empty((*stored.shape, len(_COLOURS)), np.uint8)
    for rows in strips(len(stored), stored[:1].nbytes):
        try:
            colours = apply_color_lut(stored[rows], palette)
        except (ValueError, AttributeError, IndexError, TypeError, KeyError) as error:
            raise AssemblyError(
                Reason.PIXELS_UNREADABLE,
                f"The Palette Color Lookup Tables (0028,1201) are absent or damaged ({error}). "
                "Send the instance again from its original source.",
            ) from error
        result[rows] = colours >> 8 if colours.dtype.itemsize == 2 else colours
    return result


def modality_of(data: Buffer, transfer_syntax_uid: str) -> tuple[int, Image]:
    """Read a Modality LUT (PS3.3 C.11.1.1).

    Args:
        data: the data set, inflated.
        transfer_syntax_uid: of the data set.

    Returns:
        the first stored value that is mapped, and (n,) uint16 entries.

    Raises:
        AssemblyError: the table is absent or damaged.
    """
    item = scan(data, transfer_syntax_uid, wanted=WANTED).elements.item(MODALITY_LUT)
    descriptor = item.numbers(_DESCRIPTOR) if item else ()
    raw = _little(item, _ENTRIES) if item else b""
    if len(descriptor) == 3:
        count, first, bits = (int(value) for value in descriptor)
        count = count & 0xFFFF or _FULL_TABLE
        entries = np.frombuffer(raw, "<u2", len(raw) // 2)
        if bits == 8 and len(raw) in {count, count + 1}:
            entries = np.frombuffer(raw, "u1", count).astype("u2")
        if len(entries) >= count and 8 <= bits <= 16 and abs(first) <= 0xFFFF:
            return first, entries[:count]
    raise AssemblyError(
        Reason.PIXELS_UNREADABLE,
        "The Modality LUT Sequence (0028,3000) is incomplete or damaged. Send the instance again "
        "from its original source.",
    )


def mapped(stored: Image, lut: tuple[int, Image]) -> Image:
    """Map stored values to modality values.

    Args:
        stored: (rows, columns) stored values; those beyond the table get its first or last entry.
        lut: from `modality_of`.

    Returns:
        (rows, columns) uint16.
    """
    first, entries = lut
    values = np.empty(stored.shape, entries.dtype)
    for rows in strips(len(stored), stored[:1].nbytes):
        index = np.clip(stored[rows].astype(np.int64) - first, 0, len(entries) - 1)
        values[rows] = entries[index]
    return values


def _little(elements: Elements, tag: int) -> bytes:
    """Return a table of words in little endian."""
    raw = elements.raw(tag) or b""
    if elements.encoding.little or elements.vr(tag) == "OB":
        return raw
    return np.frombuffer(raw, ">u2", len(raw) // 2).astype("<u2").tobytes()
