"""Slices that are compressed while their series is received, and kept in a file for its volume.

The key of a slice is the digest of the instance's data set and everything that was done to its
pixels. A volume that is planned differently finds no such slice, and reads its slices.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from isal import isal_zlib

from node.assemble.pixels.stored_values import Image
from node.assemble.volumes.layers import Block, CompressedLayer, Layer, expected_layers, read_layers
from node.assemble.volumes.nifti import data_view
from node.convert.gzip_blocks import deflated
from node.convert.sources import InstanceSource, PixelReader
from node.convert.writing import OutputOptions
from node.core.errors import AssemblyError

_CHECK: Final = struct.Struct("<L")
"""CRC-32 of the rest of a record."""
_HEAD: Final = struct.Struct("<LQLLLL")
"""CRC-32 and size of a layer before compression; then the sizes of the key, of the layer, of its
row and of its column, which all follow."""


class _Place(NamedTuple):
    """Start and end of a record, from its head on, and its checksum."""

    start: int
    end: int
    check: int


class SliceCache:
    """The complete slices in a file.

    Args:
        path: the file; if it does not exist, the cache is empty.
        sources: the instances whose slices may be read.
        level: compression level.
    """

    def __init__(self, path: Path, sources: Sequence[InstanceSource], level: int) -> None:
        self._level = level
        self._contents = _contents(sources)
        self._data = memoryview(_mapped(path))
        self._places = dict(_read(self._data))

    def get(self, layer: Layer) -> CompressedLayer | None:
        """Return a layer; None if the cache does not have it, or it is damaged."""
        content = self._contents.get(layer.piece.header.identity)
        place = None if content is None else self._places.get(_key(content, layer, self._level))
        if place is None:
            return None
        record = self._data[place.start : place.end]
        if isal_zlib.crc32(record) != place.check:
            return None
        crc, size, *lengths = _HEAD.unpack_from(record)
        at, parts = _HEAD.size, []
        for length in lengths:
            parts.append(record[at : at + length])
            at += length
        _, data, *lines = parts
        across, down = (np.frombuffer(line, layer.values.dtype) for line in lines)
        return CompressedLayer(Block(data, crc, size), across, down)


def compress_slices(path: Path, sources: Sequence[InstanceSource], options: OutputOptions) -> int:
    """Compress the slices of some instances and append them to a file.

    Args:
        path: the file; no other process may write to it.
        sources: the instances.
        options: compression level of the output.

    Returns:
        the number of slices.

    Raises:
        OSError: the file cannot be written.
    """
    contents = _contents(sources)
    read = PixelReader(sources)
    count = 0
    with path.open("ab") as file:
        for layer in expected_layers(
            [one.header for one in sources if one.header.identity in contents]
        ):
            try:
                array = read_layers([layer], read)
            except AssemblyError:
                continue  # reported when the volume is made
            key = _key(contents[layer.piece.header.identity], layer, options.level)
            file.write(_record(key, array, options.level))
            count += 1
    return count


def _contents(sources: Sequence[InstanceSource]) -> dict[object, tuple[str, str]]:
    """Return digest and transfer syntax of the instances whose digest is known."""
    return {
        source.header.identity: (source.digest, source.transfer_syntax_uid)
        for source in sources
        if source.digest
    }


def _key(content: tuple[str, str], layer: Layer, level: int) -> bytes:
    piece, values, orientation = layer
    frame = piece.frame
    parts = (
        *(*content, level, frame.index, frame.tile, frame.rows, frame.columns),
        *(values.dtype.str, values.scaled, frame.slope, frame.intercept),
        *orientation[:2].ravel().tolist(),
    )
    return repr(parts).encode()


def _record(key: bytes, array: Image, level: int) -> bytes:
    data, crc, size = deflated(data_view(array), level)
    i, j = array.shape[:2]
    parts = key, bytes(data), array[:, j // 2, 0].tobytes(), array[i // 2, :, 0].tobytes()
    record = b"".join((_HEAD.pack(crc, size, *map(len, parts)), *parts))
    return _CHECK.pack(isal_zlib.crc32(record)) + record


def _mapped(path: Path) -> mmap.mmap | bytes:
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):  # absent, empty, or on a file system without mmap
        return b""


def _read(data: memoryview) -> Iterator[tuple[bytes, _Place]]:
    """Yield the complete records of a file, whose last record may be half written."""
    end = 0
    while end + _CHECK.size + _HEAD.size <= len(data):
        (check,) = _CHECK.unpack_from(data, end)
        start = end + _CHECK.size
        _, _, *lengths = _HEAD.unpack_from(data, start)
        key = start + _HEAD.size
        end = key + sum(lengths)
        if end > len(data):
            return
        yield bytes(data[key : key + lengths[0]]), _Place(start, end, check)
