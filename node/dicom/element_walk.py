"""Walk the elements of one level of a data set to its end (PS3.5 7.1).

The bytes are untrusted: each function runs in linear time, makes no object for an element that is
not wanted, and raises `MalformedDataSet` if a length points beyond the end or a sequence is never
closed.
"""

from __future__ import annotations

from functools import lru_cache
from struct import error as StructError  # noqa: N812 - an exception, and it reads as one
from typing import NamedTuple

from node.core.errors import MalformedDataSet
from node.dicom.element_encoding import (
    BIG,
    KNOWN_VRS,
    LITTLE,
    LONG_VRS,
    NESTED,
    SHORT_VRS,
    UNDEFINED,
    Buffer,
    Codec,
    Encoding,
    is_padding,
    name,
    swap,
)
from node.dicom.nesting import is_implicit, odd_element, skip_open

Found = dict[int, tuple[bytes | None, bytes]]
"""Tag to (VR, value). The VR is None in implicit VR, `NESTED` for a sequence sent as UN."""


class Pixels(NamedTuple):
    """Where the pixel data lie in a data set; length None means fragments (PS3.5 A.4)."""

    tag: int
    vr: bytes | None
    offset: int
    length: int | None


class Level(NamedTuple):
    """The elements of one level, and where its pixel data lie, which are never copied."""

    found: Found
    pixels: Pixels | None


@lru_cache(maxsize=64)
def _raw_tags(wanted: frozenset[int], little: bool) -> dict[int, int]:
    return {swap(tag, little): tag for tag in wanted}


def read_level(
    data: Buffer, encoding: Encoding, wanted: frozenset[int] | None = None, begin: int = 0
) -> Level:
    """Read the elements of one level; nested elements are skipped.

    Args:
        data: the bytes of a data set, or of one item without its header.
        encoding: how its elements are encoded.
        wanted: the tags to keep; all others are skipped; None keeps all.
        begin: offset of the first element.

    Raises:
        MalformedDataSet: it is truncated, or a length is wrong.
    """
    codec = LITTLE if encoding.little else BIG
    keep = None if wanted is None else _raw_tags(wanted, encoding.little)
    try:
        if encoding.implicit:
            return _read_implicit(data, codec, keep, begin)
        return _read_explicit(data, codec, keep, begin)
    except StructError:
        raise MalformedDataSet("The data set ends in the middle of an element.") from None


def _read_explicit(  # noqa: PLR0912 - one loop, on the path of every received instance
    data: Buffer, codec: Codec, keep: dict[int, int] | None, begin: int
) -> Level:
    read, read_long, little = codec.explicit.unpack_from, codec.long.unpack_from, codec.little
    pixel_tags, short_vrs, long_vrs = codec.pixels, SHORT_VRS, LONG_VRS
    found: Found = {}
    pixels: Pixels | None = None
    offset, end = begin, len(data)
    while offset < end:
        if end - offset < 8 and is_padding(data, offset):
            break
        raw, vr, length = read(data, offset)
        start = offset + 8
        if vr in short_vrs:
            stop = offset = start + length
        else:
            if vr in long_vrs:
                (length,) = read_long(data, start)
                start += 4
            elif raw in (codec.item_end, codec.sequence_end) and not any(data[offset + 4 : start]):
                offset = start  # this delimiter closes nothing
                continue
            elif raw == 0:
                _expect_padding(data, offset)
                break
            else:
                vr, start, length = odd_element(data, offset, codec)
            if length == UNDEFINED:
                implicit = is_implicit(data, start, codec, vr)
                stop, offset = skip_open(data, start, codec, implicit=implicit)
            else:
                stop = offset = start + length
            if raw in pixel_tags:
                pixels = Pixels(pixel_tags[raw], vr, start, None if length == UNDEFINED else length)
                if offset > end:
                    raise _beyond(raw, little, length, end - start)
                continue
            if length == UNDEFINED and implicit:
                vr = NESTED
        if offset > end:
            raise _beyond(raw, little, length, end - start)
        if keep is None:
            tag = ((raw & 0xFFFF) << 16) | (raw >> 16) if little else raw
        elif raw in keep:
            tag = keep[raw]
        else:
            continue
        found[tag] = (vr, bytes(data[start:stop]))
    return Level(found, pixels)


def _read_implicit(data: Buffer, codec: Codec, keep: dict[int, int] | None, begin: int) -> Level:
    read, little, pixel_tags = codec.implicit.unpack_from, codec.little, codec.pixels
    found: Found = {}
    pixels: Pixels | None = None
    offset, end = begin, len(data)
    while offset < end:
        if end - offset < 8 and is_padding(data, offset):
            break
        raw, length = read(data, offset)
        start = offset + 8
        if length == UNDEFINED:
            stop, offset = skip_open(data, start, codec, implicit=True)
        elif raw == 0:
            _expect_padding(data, offset)
            break
        else:
            stop = offset = start + length
            if offset > end:
                raise _beyond(raw, little, length, end - start)
        if raw in pixel_tags:
            pixels = Pixels(pixel_tags[raw], None, start, None if length == UNDEFINED else length)
            continue
        if keep is None:
            tag = ((raw & 0xFFFF) << 16) | (raw >> 16) if little else raw
        elif raw in keep:
            tag = keep[raw]
        else:
            continue
        found[tag] = (None, bytes(data[start:stop]))
    return Level(found, pixels)


def _beyond(raw: int, little: bool, length: int, left: int) -> MalformedDataSet:
    return MalformedDataSet(
        f"Element {name(swap(raw, little))} says it has {length} bytes, "
        f"but only {left} are left in the data set."
    )


def _expect_padding(data: Buffer, offset: int) -> None:
    if not is_padding(data, offset):
        raise MalformedDataSet("A tag of zeros is not followed by zeros alone.")


def shown_encoding(data: Buffer, declared: Encoding) -> Encoding:
    """Return the encoding by the first element, if it clearly contradicts the declared one.

    Some writers declare explicit VR as implicit, or the other way round.

    Args:
        data: a data set.
        declared: the encoding of its transfer syntax.
    """
    if len(data) < 8:
        return declared
    codec = LITTLE if declared.little else BIG
    _, vr, _ = codec.explicit.unpack_from(data, 0)
    (length,) = codec.long.unpack_from(data, 4)
    left = len(data) - 8
    if declared.implicit and vr in KNOWN_VRS and length > left:
        return declared._replace(implicit=False)
    if not declared.implicit and not (vr.isalpha() and vr.isupper()) and length <= left:
        return declared._replace(implicit=True)
    return declared
