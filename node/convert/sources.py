"""Instances in files, and their pixels: native ones read at known offsets."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from node.assemble.model import InstanceHeader
from node.assemble.pixels import Image, compressed_frame, frame_bytes, native_frame
from node.assemble.stacking import Piece
from node.elements import DEFLATED, inflate, scan
from node.elements.scanner import EXPLICIT_BIG
from node.errors import AssemblyError, Reason

MOST_INFLATED: Final = 4 << 30
"""Bytes; what a deflated data set may become when its pixels are read."""


class InstanceSource(msgspec.Struct, frozen=True):
    """One instance: its header, and where its bytes are.

    Attributes:
        header: what `node.assemble.headers.describe` read on arrival.
        path: the file.
        offset: where the data set begins in the file.
        transfer_syntax_uid: how it is encoded.
        pixel_offset: where the pixel data's value begins in the data set; None if deflated or
            not known, then it is looked for.
        pixel_length: their length in bytes; None if they are in fragments.
    """

    header: InstanceHeader
    path: Path
    offset: int
    transfer_syntax_uid: str
    pixel_offset: int | None = None
    pixel_length: int | None = None

    @property
    def uid(self) -> str:
        """The SOP Instance UID."""
        return self.header.sop_instance_uid


class PixelReader:
    """Reads the stored values of frames; keeps the last frame for a mosaic's tiles.

    Args:
        sources: the instances that may be asked for.
    """

    def __init__(self, sources: Iterable[InstanceSource]) -> None:
        self._sources = {source.header.identity: source for source in sources}
        self._key: tuple[object, int] | None = None
        self._frame: Image | None = None
        self._opened: tuple[object, bytes] | None = None

    def __call__(self, piece: Piece) -> Image:
        """Return (rows, columns) or (rows, columns, 3) of one frame, or of one tile of it.

        Raises:
            AssemblyError: the pixels are truncated or cannot be decoded.
        """
        identity = piece.header.identity
        key = (identity, piece.frame.index)
        if key != self._key or self._frame is None:
            try:
                self._frame = self._read(self._sources[identity], piece.frame.index)
            except OSError as error:
                raise AssemblyError(
                    Reason.PIXELS_UNREADABLE, f"A file cannot be read: {error.strerror}.",
                    (piece.uid,),
                ) from error  # fmt: skip
            self._key = key
        if piece.frame.tile is None:
            return self._frame
        row, column = piece.frame.tile
        return self._frame[row : row + piece.frame.rows, column : column + piece.frame.columns]

    def _read(self, source: InstanceSource, index: int) -> Image:
        pixels = source.header.pixels
        assert pixels is not None  # noqa: S101 - it has frames
        little = source.transfer_syntax_uid != EXPLICIT_BIG
        if source.pixel_offset is not None and source.pixel_length is not None:
            size = frame_bytes(pixels)
            if size * (index + 1) > source.pixel_length:
                raise AssemblyError(
                    Reason.PIXELS_TRUNCATED,
                    f"{pixels.frames} frames of {size} bytes have only {source.pixel_length} "
                    "bytes of pixel data.",
                    (source.uid,),
                )
            with source.path.open("rb") as file:
                file.seek(source.offset + source.pixel_offset + size * index)
                raw = file.read(size)
            return native_frame(raw, pixels, little=little)
        raw, encapsulated = self._value(source)
        if encapsulated:
            return compressed_frame(raw, pixels, source.transfer_syntax_uid, index)
        size = frame_bytes(pixels)
        part = raw[size * index : size * (index + 1)]
        return native_frame(part, pixels, little=little)

    def _value(self, source: InstanceSource) -> tuple[bytes, bool]:
        """Return the whole value of the pixel data, and whether it is in fragments."""
        identity = source.header.identity
        if self._opened is None or self._opened[0] != identity:
            self._opened = (identity, _pixel_value(source))
        return self._opened[1], _is_encapsulated(source)


def _is_encapsulated(source: InstanceSource) -> bool:
    return source.transfer_syntax_uid != DEFLATED and source.pixel_length is None


def _pixel_value(source: InstanceSource) -> bytes:
    data = source.path.read_bytes()[source.offset :]
    if source.transfer_syntax_uid == DEFLATED:
        data = inflate(data, MOST_INFLATED)
    if source.pixel_offset is not None and source.transfer_syntax_uid != DEFLATED:
        return data[source.pixel_offset :]
    found = scan(data, source.transfer_syntax_uid, wanted=frozenset())
    if found.pixel_offset is None:
        raise AssemblyError(Reason.NO_PIXEL_DATA, "The pixel data are gone.", (source.uid,))
    end = None if found.pixel_length is None else found.pixel_offset + found.pixel_length
    return data[found.pixel_offset : end]
