"""Find the end of sequences, fragments and elements of unknown VR (PS3.5 7.5, A.4).

Depth is counted without recursion, so that 100,000 nested sequences take 100,000 steps.
"""

from __future__ import annotations

from struct import error as StructError  # noqa: N812 - an exception, and it reads as one

from node.core.errors import MalformedDataSet
from node.dicom.element_encoding import (
    BIG,
    KNOWN_VRS,
    LITTLE,
    LONG_VRS,
    SHORT_VRS,
    UNDEFINED,
    Buffer,
    Codec,
    Encoding,
    is_padding,
    name,
    swap,
)

SEQUENCE = 1
ITEM = 2


def skip_open(  # noqa: PLR0912 - one loop, on the path of every received instance
    data: Buffer,
    offset: int,
    codec: Codec,
    *,
    implicit: bool,
    opened: int = SEQUENCE,
    strict: bool = False,
) -> tuple[int, int]:
    """Find the end of a sequence, of fragments or of an item of undefined length.

    Sequences and items alternate, so that the depth alone says which of them is open: odd
    depths are sequences, even ones items.

    Args:
        data: a data set.
        offset: where the content begins.
        codec: its byte order.
        implicit: elements inside are in implicit VR, at all depths.
        opened: whether the content is that of a SEQUENCE or of an ITEM.
        strict: raise if the reading of an element depends on the bytes after it.

    Returns:
        the offset of the delimiter that closes it, and the offset after that delimiter.

    Raises:
        MalformedDataSet: it is never closed, or a length is wrong.
    """
    read_explicit, read_implicit = codec.explicit.unpack_from, codec.implicit.unpack_from
    read_long, short_vrs, long_vrs = codec.long.unpack_from, SHORT_VRS, LONG_VRS
    item, item_end, sequence_end = codec.item, codec.item_end, codec.sequence_end
    end, depth = len(data), opened
    implicit_since = 1 if implicit else 0
    while offset < end:
        raw, length = read_implicit(data, offset)
        start = offset + 8
        if raw == (sequence_end if depth & 1 else item_end):
            depth -= 1
            if depth < opened:
                return offset, start
            if depth < implicit_since:
                implicit_since = 0
            offset = start
            continue
        if depth & 1:
            if raw != item:
                raise MalformedDataSet("A sequence holds something that is not an item.")
        elif not implicit_since:
            _, vr, length = read_explicit(data, offset)
            if vr not in short_vrs:
                if vr in long_vrs:
                    (length,) = read_long(data, start)
                    start += 4
                elif strict:
                    raise MalformedDataSet("A nested element has an unknown value representation.")
                else:
                    vr, start, length = odd_element(data, offset, codec)
                if length == UNDEFINED and vr in {None, b"UN"}:
                    if strict:
                        raise MalformedDataSet("A nested element has neither length nor kind.")
                    if is_implicit(data, start, codec, vr):
                        implicit_since = depth + 1
        if length == UNDEFINED:
            depth += 1
            offset = start
            continue
        offset = start + length
        if offset > end:
            raise MalformedDataSet("An element inside a sequence ends beyond the data set.")
    raise MalformedDataSet("A sequence, or fragmented pixel data, is never closed.")


def is_implicit(data: Buffer, offset: int, codec: Codec, vr: bytes | None) -> bool:
    """Tell whether a nested value in an explicit VR data set is in implicit VR.

    UN of undefined length is (PS3.5 6.2.2), and so is an element without a VR. Some writers keep
    explicit VR inside, which shows in the first item.

    Args:
        data: a data set.
        offset: where the value begins.
        codec: its byte order.
        vr: the VR of the element, None if it had none.
    """
    return vr in {None, b"UN"} and not explicit_item(data, offset, codec)


def explicit_item(data: Buffer, offset: int, codec: Codec) -> bool:
    """Tell whether an item begins with an element that must be explicit VR.

    It must be if the VR, read as a length in implicit VR, points beyond the end.

    Args:
        data: a data set.
        offset: where the item begins.
        codec: its byte order.
    """
    if offset + 16 > len(data):
        return False
    _, vr, _ = codec.explicit.unpack_from(data, offset + 8)
    (length,) = codec.long.unpack_from(data, offset + 12)
    return vr in KNOWN_VRS and length > len(data) - offset - 16


def odd_element(data: Buffer, offset: int, codec: Codec) -> tuple[bytes | None, int, int]:
    """Interpret an element of explicit VR whose VR is not in PS3.5 6.2.

    A future VR has a 32-bit length (PS3.5 7.1.2), an unknown old one a 16-bit length, and some
    writers insert elements in implicit VR. The reading after which a valid element follows is
    right; if there is none, the data set is malformed.

    Args:
        data: a data set.
        offset: where the element begins.
        codec: its byte order.

    Returns:
        VR (None if there is none), offset of the value, length of the value.

    Raises:
        MalformedDataSet: no reading fits.
    """
    raw, vr, short = codec.explicit.unpack_from(data, offset)
    (as_implicit,) = codec.long.unpack_from(data, offset + 4)
    readings: list[tuple[bytes | None, int, int]] = []
    if vr.isalpha() and vr.isupper():
        if short == 0 and offset + 12 <= len(data):
            readings.append((b"UN", offset + 12, codec.long.unpack_from(data, offset + 8)[0]))
        readings.append((b"UN", offset + 8, short))
    readings.append((None, offset + 8, as_implicit))
    tag = swap(raw, codec.little)
    for reading in readings:
        _, start, length = reading
        if length == UNDEFINED:
            if start + 8 <= len(data) and codec.long.unpack_from(data, start)[0] in {
                codec.item,
                codec.sequence_end,
            }:
                return reading
        elif _makes_sense(data, start + length, tag, codec):
            return reading
    raise MalformedDataSet(
        f"Element {name(tag)} has the unknown value representation {vr!r} and no length that fits."
    )


def _makes_sense(data: Buffer, offset: int, before: int, codec: Codec) -> bool:
    """Tell whether an element that follows tag `before` can begin at this offset."""
    if offset + 8 > len(data):
        return offset <= len(data) and is_padding(data, offset)
    raw, vr, _ = codec.explicit.unpack_from(data, offset)
    return (
        vr in KNOWN_VRS
        or raw in {codec.item_end, codec.sequence_end}
        or 0 < swap(raw, codec.little) - before < 0x100_0000  # a near group, in order
    )


def split_items(data: bytes, encoding: Encoding) -> list[bytes]:
    """Split the value of a sequence into its items, up to the first that cannot be read.

    Args:
        data: the value.
        encoding: how it is encoded.

    Returns:
        the bytes of every item, without header and delimiter.
    """
    codec = LITTLE if encoding.little else BIG
    items: list[bytes] = []
    offset, end = 0, len(data)
    while offset + 8 <= end:
        raw, length = codec.implicit.unpack_from(data, offset)
        start = offset + 8
        if raw != codec.item:
            break
        if length == UNDEFINED:
            try:
                stop, offset = skip_open(
                    data, start, codec, implicit=encoding.implicit, opened=ITEM
                )
            except (MalformedDataSet, StructError):
                break
        else:
            stop = offset = start + length
            if offset > end:
                break
        items.append(data[start:stop])
    return items
