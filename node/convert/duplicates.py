"""Drop duplicates of instances. Instances that differ under one UID stay, and are refused."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from node.assemble.frames.headers import encode_header
from node.assemble.frames.model import LABEL_CLASSES, FrameHeader, InstanceHeader
from node.assemble.series import LeftOut
from node.assemble.stacks.slice_sorting import Piece
from node.convert.sources import InstanceSource, PixelReader, data_set
from node.core.errors import DAMAGE, AssemblyError


def without_copies(
    instances: Sequence[InstanceSource],
) -> tuple[list[InstanceSource], list[LeftOut]]:
    """Drop copies: instances with one UID and the same content, however they are encoded.

    Instances that differ stay, so that they are refused by name. Which copy remains does not depend
    on the order of the instances.

    Returns:
        the instances that remain, and those that were dropped.
    """
    by_identity: dict[tuple[str, int], list[InstanceSource]] = {}
    for source in sorted(instances, key=lambda one: (one.uid, one.transfer_syntax_uid)):
        by_identity.setdefault(source.header.identity, []).append(source)
    unique: list[InstanceSource] = []
    copies: list[LeftOut] = []
    for (uid, _), sources in by_identity.items():
        first, *others = sources if len(sources) == 1 else sorted(sources, key=_order)
        unique.append(first)
        for other in others:
            if _same_content(first, other):
                copies.append(LeftOut(uid, "the same instance again"))
            else:
                unique.append(other)
    again = _sent_again(unique)
    copies += [LeftOut(one.uid, "the same image under another SOP Instance UID") for one in again]
    gone = {id(one) for one in again}
    return [one for one in unique if id(one) not in gone], copies


def _sent_again(instances: Sequence[InstanceSource]) -> list[InstanceSource]:
    """Return instances with the content of another instance under a UID of their own.

    Workstations and anonymizers that make new UIDs can send a series twice. Copies differ only in
    UID, Instance Number and the time when they were made, and have the same pixels. If images
    differ only in Instance Number and some have other pixels, none of them are copies.
    """
    near: dict[object, list[InstanceSource]] = {}
    for source in instances:
        if source.header.frames:
            near.setdefault(_place_and_time(source.header), []).append(source)
    groups: dict[bytes, list[InstanceSource]] = {}
    for source in (one for group in near.values() if len(group) > 1 for one in group):
        groups.setdefault(_without_number(source.header), []).append(source)
    certain: list[InstanceSource] = []
    numbered: list[InstanceSource] = []
    for group in groups.values():
        first, *others = sorted(group, key=lambda one: (_number(one), one.uid))
        for other in others:
            same, plain = _same_pixels(first, other)
            if same and _number(first) == _number(other):
                certain.append(other)
            elif same:
                numbered.append(other)
            elif not plain:
                return certain
    return certain + numbered


def _place_and_time(header: InstanceHeader) -> object:
    """Return some fields that copies share, by which most images are distinguished quickly."""
    frame = header.frames[0]
    return (frame.position, frame.acquisition_time, frame.temporal, frame.trigger_time, frame.order)


def _without_number(header: InstanceHeader) -> bytes:
    """Return all fields of a header except those that differ between copies."""
    frames = tuple(
        msgspec.structs.replace(frame, number=None, instance=None, content_time=None, facts={})
        for frame in header.frames
    )
    bare = msgspec.structs.replace(header, sop_instance_uid="", frames=frames, facts={})
    return encode_header(bare)


def _number(source: InstanceSource) -> tuple[int, int]:
    """Return Instance Number as a sort key; images without one come first."""
    frame = source.header.frames[0]
    return (frame.number or 0, frame.instance or 0)


def _same_pixels(one: InstanceSource, other: InstanceSource) -> tuple[bool, bool]:
    """Return whether all pixels are equal, and whether all pixels of one have the same value.

    An empty slice proves nothing, as it is the same at every time.
    """
    first, second = PixelReader([one]), PixelReader([other])
    plain = True
    try:
        for mine, others in zip(one.header.frames, other.header.frames, strict=True):
            values = first(Piece(one.header, mine))
            if not np.array_equal(values, second(Piece(other.header, others))):
                return False, False
            plain = plain and values.min() == values.max()
    except AssemblyError as error:
        _unless_damaged(error)
        return False, True
    return True, plain


def _order(source: InstanceSource) -> tuple[str, bytes, str]:
    return source.transfer_syntax_uid, encode_header(source.header), source.file


def _same_content(one: InstanceSource, other: InstanceSource) -> bool:
    """Tell whether two instances have the same place, scale and values.

    The format of the values (bits, planes, colour space, compression) and facts of the sidecar may
    differ.
    """
    if _meaning(one.header) != _meaning(other.header):
        return False
    if one.header.sop_class_uid in LABEL_CLASSES and one.header.pixels is None:
        return _bytes(one) == _bytes(other)
    first, second = PixelReader([one]), PixelReader([other])
    try:
        return all(
            np.array_equal(first(Piece(one.header, frame)), second(Piece(other.header, frame)))
            for frame in _frames(one.header)
        )
    except AssemblyError as error:
        _unless_damaged(error)
        return False


def _unless_damaged(error: AssemblyError) -> None:
    """Raise the error again if a file of the archive is damaged: damage is not a difference."""
    if error.reason in DAMAGE:
        raise error


def _meaning(header: InstanceHeader) -> tuple[object, ...]:
    """Return all fields of a header on which the place and value of a voxel depend."""
    pixels = header.pixels
    return (
        header.sop_class_uid,
        header.series_instance_uid,
        header.frame_of_reference_uid,
        header.references,
        header.problem,
        pixels and (pixels.rows, pixels.columns, pixels.frames, pixels.samples, pixels.padding),
        [msgspec.structs.replace(frame, facts={}) for frame in header.frames],
    )


def _frames(header: InstanceHeader) -> tuple[FrameHeader, ...]:
    """Return the frames of an instance; those of a segmentation have no place yet."""
    if header.frames or header.pixels is None or header.sop_class_uid not in LABEL_CLASSES:
        return header.frames
    rows, columns = header.pixels.rows, header.pixels.columns
    return tuple(FrameHeader(index, rows, columns) for index in range(header.pixels.frames))


def _bytes(source: InstanceSource) -> bytes | None:
    try:
        return data_set(source)
    except AssemblyError as error:
        _unless_damaged(error)
        return None
