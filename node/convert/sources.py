"""Instances in files, and the stored values of their frames.

If the digest of an instance is known, the whole instance is compared with it once before any part
is used: its header was read on receipt and must belong to these pixels.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from pydicom.dataset import Dataset

from node.assemble.frames.model import InstanceHeader, PixelFormat
from node.assemble.pixels.packed import is_packed, packed_frame
from node.assemble.pixels.stored_values import (
    PALETTE,
    Image,
    bit_frame,
    frame_bytes,
    frame_span,
    native_frame,
    split_frames,
)
from node.assemble.stacks.slice_sorting import Piece
from node.convert.decoding import decode_apart
from node.convert.lookup_tables import coloured, mapped, modality_of, palette_of
from node.convert.memory import frame_room
from node.core.errors import AssemblyError, MalformedDataSet, Reason
from node.dicom import DEFLATED, Buffer, inflate, scan
from node.dicom.scanner import EXPLICIT_BIG
from node.storage.integrity import Damage, Expected, check_archived, damage_of, read_part

LARGEST_HEADER: Final = 64 << 20
"""Bytes beside the pixels."""
MOST_INFLATED: Final = 4 << 30
"""Bytes that a deflated data set may inflate to when its pixels are read."""
_UNREADABLE: Final = (
    "The file of SOP Instance {} cannot be read: {}. Check that the disk is mounted and that the "
    "node's user may read the file."
)


class InstanceSource(msgspec.Struct, frozen=True):
    """One instance: its header, and where its bytes are.

    Attributes:
        header: the header, from `node.assemble.frames.headers.describe` on receipt.
        file: its path; text, as thousands of files are opened.
        offset: byte of the file at which the data set begins.
        transfer_syntax_uid: of the data set.
        pixel_offset: byte of the data set at which the value of the pixel data begins; None if
            deflated or not known.
        pixel_length: length of the pixel data in bytes; None if they are in fragments.
        digest: SHA-256 of the data set, hexadecimal; empty if not known.
        crc32: CRC-32 of the data set; None if not known.
    """

    header: InstanceHeader
    file: str
    offset: int
    transfer_syntax_uid: str
    pixel_offset: int | None = None
    pixel_length: int | None = None
    digest: str = ""
    crc32: int | None = None

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.file)

    @property
    def uid(self) -> str:
        """The SOP Instance UID."""
        return self.header.sop_instance_uid


class PixelReader:
    """Reads the stored values of frames; keeps the last frame for the tiles of a mosaic.

    Args:
        sources: the instances whose frames may be read.
    """

    def __init__(self, sources: Iterable[InstanceSource]) -> None:
        self._sources = {source.header.identity: source for source in sources}
        self._key: tuple[object, int] | None = None
        self._frame: Image | None = None
        self._opened: tuple[object, memoryview] | None = None
        self._split: tuple[object, list[bytes]] | None = None
        self._tables: tuple[object, tuple[int, Image] | Dataset] | None = None
        self._checked: set[object] = set()

    @property
    def is_cheap(self) -> bool:
        """Whether all pixel data are native, so that reading them twice costs little."""
        return all(source.pixel_length is not None for source in self._sources.values())

    def another(self) -> PixelReader:
        """Return a reader of the same instances, for another thread."""
        return PixelReader(self._sources.values())

    def sources(self, pieces: Iterable[Piece]) -> list[InstanceSource]:
        """Return the instances that some frames are in, one for each frame."""
        return [self._sources[piece.header.identity] for piece in pieces]

    def check(self, pieces: Iterable[Piece]) -> None:
        """Refuse frames whose pixel data are too short by their headers; reads no file.

        Raises:
            AssemblyError: `Reason.PIXELS_TRUNCATED`.
        """
        for piece in pieces:
            source = self._sources[piece.header.identity]
            pixels = source.header.pixels
            if pixels is not None and source.pixel_length is not None:
                _check_span(source, pixels, piece.frame.index)

    def room(self, pieces: Iterable[Piece]) -> int:
        """Return how many bytes of memory it takes to read any one of the frames."""
        sources = {id(piece.header): self._sources[piece.header.identity] for piece in pieces}
        return max(
            frame_room(pixels, one.transfer_syntax_uid, one.file, packed=one.pixel_length is None)
            for one in sources.values()
            if (pixels := one.header.pixels) is not None
        )

    def __call__(self, piece: Piece) -> Image:
        """Return (rows, columns) or (rows, columns, 3) of one frame, or of one tile of it.

        Raises:
            AssemblyError: the pixels are truncated or cannot be decoded.
        """
        identity = piece.header.identity
        key = (identity, piece.frame.index)
        if piece.frame.tile is None:
            return self._read(self._sources[identity], piece.frame.index)
        if key != self._key or self._frame is None:
            self._frame = None  # do not hold two frames at once
            self._frame = self._read(self._sources[identity], piece.frame.index)
            self._key = key
        row, column = piece.frame.tile
        return self._frame[row : row + piece.frame.rows, column : column + piece.frame.columns]

    def _read(self, source: InstanceSource, index: int) -> Image:
        """Return a frame; refusals get the instance's UID."""
        try:
            return self._values(source, index)
        except OSError as error:
            raise AssemblyError(
                Reason.PIXELS_UNREADABLE,
                _UNREADABLE.format(source.uid, error.strerror),
                (source.uid,),
            ) from error
        except MalformedDataSet as error:
            raise AssemblyError(Reason.PIXELS_UNREADABLE, str(error), (source.uid,)) from error
        except AssemblyError as error:
            raise AssemblyError(
                error.reason, error.sentence, error.instances or (source.uid,)
            ) from error

    def _values(self, source: InstanceSource, index: int) -> Image:
        pixels = source.header.pixels
        assert pixels is not None  # noqa: S101 - it has frames
        stored = self._stored(source, pixels, index)
        if pixels.photometric != PALETTE and not pixels.tabled:
            return stored
        table = self._table(source, pixels)
        return mapped(stored, table) if isinstance(table, tuple) else coloured(stored, table)

    def _stored(self, source: InstanceSource, pixels: PixelFormat, index: int) -> Image:
        """Return the stored values, before any table."""
        if is_encapsulated(source):
            syntax = source.transfer_syntax_uid
            frame = self._compressed(source, pixels)[index]
            if is_packed(pixels, syntax):
                return packed_frame(frame, pixels, syntax)
            return decode_apart(frame, pixels, syntax)
        start, stop = _check_span(source, pixels, index)
        if source.pixel_offset is not None and source.pixel_length is not None:
            size = min(stop, source.pixel_length) - start
            raw = self._part(source, source.pixel_offset + start, size)
        else:
            raw = self._value(source, pixels)[start:stop]
        if pixels.bits_allocated == 1:
            return bit_frame(raw, pixels, index)
        return native_frame(raw, pixels, little=source.transfer_syntax_uid != EXPLICIT_BIG)

    def _part(self, source: InstanceSource, start: int, size: int) -> Buffer:
        """Return bytes of a data set; fewer if it ends before."""
        identity = source.header.identity
        if not source.digest or identity in self._checked:
            return _part_of(source, start, size)
        try:  # a context manager would cost as much as the read of a small slice
            part = read_part(source.file, _expected(source), start, size)
        except (OSError, Damage) as error:
            raise _unreadable(source, error) from error
        self._checked.add(identity)
        return part

    def _value(self, source: InstanceSource, pixels: PixelFormat) -> memoryview:
        """Return the whole value of pixel data whose offset is not known."""
        identity = source.header.identity
        if self._opened is not None and self._opened[0] == identity:
            return self._opened[1]
        self._opened = None  # do not hold two at once
        value = _pixel_value(source)
        if pixels.frames > 1:
            self._opened = (identity, value)
        return value

    def _compressed(self, source: InstanceSource, pixels: PixelFormat) -> list[bytes]:
        """Return all compressed frames of an instance."""
        identity = source.header.identity
        if self._split is not None and self._split[0] == identity:
            return self._split[1]
        self._split = None
        frames = split_frames(bytes(_pixel_value(source)), pixels.frames)
        if pixels.frames > 1:
            self._split = (identity, frames)
        return frames

    def _table(self, source: InstanceSource, pixels: PixelFormat) -> tuple[int, Image] | Dataset:
        """Return the Modality LUT or palette of an instance."""
        identity = source.header.identity
        if self._tables is None or self._tables[0] != identity:
            read = modality_of if pixels.tabled else palette_of
            self._tables = (identity, read(plain(source), source.transfer_syntax_uid))
        return self._tables[1]


def _check_span(source: InstanceSource, pixels: PixelFormat, index: int) -> tuple[int, int]:
    """Return the first byte of a native frame in the pixel data, and the byte after its last.

    Raises:
        AssemblyError: the pixel data are shorter.
    """
    start, stop = frame_span(pixels, index)
    if source.pixel_length is not None and stop - 1 > source.pixel_length:
        raise AssemblyError(
            Reason.PIXELS_TRUNCATED,
            f"The image has {pixels.frames} frames of {stop - start} bytes, and only "
            f"{source.pixel_length} bytes of pixel data. Send it again from its original source.",
            (source.uid,),
        )
    return start, stop


def is_encapsulated(source: InstanceSource) -> bool:
    """Tell whether the pixels of an instance are compressed frames."""
    return source.transfer_syntax_uid != DEFLATED and source.pixel_length is None


def data_set(source: InstanceSource) -> bytes:
    """Return a data set as it was received, compared with its digest if that is known.

    Raises:
        AssemblyError: the file is damaged, missing or unreadable.
    """
    with _named(source):
        if source.digest:
            return read_part(source.file, _expected(source), 0)
        with source.path.open("rb") as file:
            file.seek(source.offset)
            return file.read()


def plain(source: InstanceSource) -> bytes:
    """Return a data set, inflated if it was received deflated.

    Raises:
        AssemblyError: as `data_set`.
    """
    data = data_set(source)
    return (
        inflate(data, most_inflated(source.header.pixels))
        if source.transfer_syntax_uid == DEFLATED
        else data
    )


def check(source: InstanceSource) -> None:
    """Compare an instance with its digest, if that is known.

    Raises:
        AssemblyError: the file is damaged, missing or unreadable.
    """
    if source.digest:
        with _named(source):
            check_archived(source.file, _expected(source))


def _part_of(source: InstanceSource, start: int, size: int) -> memoryview:
    """Return bytes of a data set in memory that may be written to; fewer if it ends before.

    A series has thousands of slices: this takes half the time of a file object.
    """
    raw = np.empty(max(0, size), np.uint8).data
    at = 0
    with _named(source):
        handle = os.open(source.file, os.O_RDONLY)
        try:
            while at < size and (
                count := os.preadv(handle, [raw[at:]], source.offset + start + at)
            ):
                at += count
        finally:
            os.close(handle)
    return raw[:at]


def most_inflated(pixels: PixelFormat | None) -> int:
    """Return the bytes that a deflated data set may inflate to: its pixels and a large header."""
    expected = 0 if pixels is None else frame_bytes(pixels) * pixels.frames
    return min(MOST_INFLATED, expected + LARGEST_HEADER)


def _pixel_value(source: InstanceSource) -> memoryview:
    if source.pixel_offset is not None and source.transfer_syntax_uid != DEFLATED:
        return memoryview(data_set(source))[source.pixel_offset :]
    data = plain(source)
    found = scan(data, source.transfer_syntax_uid, wanted=frozenset())
    if found.pixel_offset is None:
        raise AssemblyError(
            Reason.NO_PIXEL_DATA,
            f"The file of SOP Instance {source.uid} holds no pixel data any more. Send the "
            "instance again.",
            (source.uid,),
        )
    end = None if found.pixel_length is None else found.pixel_offset + found.pixel_length
    return memoryview(data)[found.pixel_offset : end]


def _expected(source: InstanceSource) -> Expected:
    return Expected(source.digest, source.offset, source.crc32)


@contextmanager
def _named(source: InstanceSource) -> Iterator[None]:
    """Turn damaged and unreadable files into refusals with the instance's UID."""
    try:
        yield
    except (OSError, Damage) as error:
        raise _unreadable(source, error) from error


def _unreadable(source: InstanceSource, error: OSError | Damage) -> AssemblyError:
    found = damage_of(error) if isinstance(error, OSError) and source.digest else error
    if isinstance(found, Damage):
        return AssemblyError(
            found.reason,
            f"SOP Instance {source.uid} in the archive: {found.sentence}. Send it again: the "
            "series is then assembled again automatically.",
            (source.uid,),
        )
    return AssemblyError(
        Reason.PIXELS_UNREADABLE, _UNREADABLE.format(source.uid, found.strerror), (source.uid,)
    )
