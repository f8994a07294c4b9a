"""Scan a whole data set, from a C-STORE or from a file after the meta information."""

from __future__ import annotations

import zlib
from typing import Final

import msgspec

from node.core.errors import MalformedDataSet
from node.dicom.element_encoding import Buffer, Encoding
from node.dicom.element_walk import Found, Pixels, read_level, shown_encoding
from node.dicom.values import Elements, TemplateCache

IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
EXPLICIT_BIG: Final = "1.2.840.10008.1.2.2"
DEFLATED: Final = "1.2.840.10008.1.2.1.99"


class Scanned(msgspec.Struct, frozen=True):
    """The top level of a data set, and where its pixel data lie in the bytes scanned.

    Attributes:
        elements: the wanted elements, except pixel data.
        pixel_tag: (7FE0,0008), (7FE0,0009) or (7FE0,0010); None if there are no pixel data.
        pixel_vr: VR of the pixel data, None in implicit VR, where it is OW (PS3.5 A.1).
        pixel_offset: offset of the value (or of the first item) in the data set.
        pixel_length: length of the value in bytes; None if it is in fragments.
        encapsulated: the pixel data are in fragments (PS3.5 A.4).
    """

    elements: Elements
    pixel_tag: int | None = None
    pixel_vr: str | None = None
    pixel_offset: int | None = None
    pixel_length: int | None = None
    encapsulated: bool = False


def encoding_of(transfer_syntax_uid: str) -> Encoding:
    """Return how elements are written in a transfer syntax (PS3.5 chapter 10 and annex A)."""
    return Encoding(
        implicit=transfer_syntax_uid == IMPLICIT_LITTLE,
        little=transfer_syntax_uid != EXPLICIT_BIG,
    )


def scan(
    data: Buffer, transfer_syntax_uid: str, *, wanted: frozenset[int] | None = None
) -> Scanned:
    """Scan a data set to its very end.

    Args:
        data: the data set, without preamble and meta information, inflated if it was deflated.
        transfer_syntax_uid: its transfer syntax.
        wanted: the tags to keep; None keeps all. Pixel data are never kept.

    Raises:
        MalformedDataSet: it is truncated, a length is wrong, or it is no data set at all.
    """
    encoding = shown_encoding(data, encoding_of(transfer_syntax_uid))
    found, pixels = read_level(data, encoding, wanted)
    return scanned(found, pixels, encoding)


def scanned(
    found: Found, pixels: Pixels | None, encoding: Encoding, cache: TemplateCache | None = None
) -> Scanned:
    """Return the result of reading the top level of a data set.

    Args:
        found: its elements.
        pixels: where the pixel data lie; None if there are none.
        encoding: how the elements are encoded.
        cache: of the header template that it fits.
    """
    elements = Elements(found, encoding, pixels=pixels, cache=cache)
    if pixels is None:
        return Scanned(elements)
    return Scanned(
        elements,
        pixel_tag=pixels.tag,
        pixel_vr=None if pixels.vr is None else pixels.vr.decode("latin-1"),
        pixel_offset=pixels.offset,
        pixel_length=pixels.length,
        encapsulated=pixels.length is None,
    )


def inflate(data: Buffer, limit: int) -> bytes:
    """Inflate a data set in Deflated Explicit VR Little Endian (PS3.5 A.5).

    Args:
        data: raw deflate, possibly with a padding byte; a zlib header is accepted, too.
        limit: the largest inflated size in bytes.

    Raises:
        MalformedDataSet: it is not deflated, is cut off, or inflates to more than the limit.
    """
    compressed = bytes(data)
    for window in (-zlib.MAX_WBITS, zlib.MAX_WBITS):
        stream = zlib.decompressobj(window)
        try:
            inflated = stream.decompress(compressed, limit + 1)
        except zlib.error:
            continue
        if len(inflated) > limit:
            raise MalformedDataSet(f"The deflated data set becomes larger than {limit} bytes.")
        if not stream.eof:
            raise MalformedDataSet("The deflated data set is cut off.")
        return inflated
    raise MalformedDataSet("The data set is not deflated, although its transfer syntax says so.")
