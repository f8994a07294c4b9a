"""A gzip stream (RFC 1952) of independent blocks, which several threads compress.

No block refers to the one before, so that any block can be compressed elsewhere and earlier.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from isal import isal_zlib

from node.assemble.volumes.layers import Block

_HEADER: Final = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
"""Deflate, no name, no time: equal content gives equal files."""
_RAW: Final = -15
"""Window bits of deflate without a header."""


def deflated(raw: memoryview, level: int) -> Block:
    """Compress one block.

    Args:
        raw: the bytes.
        level: of isal, 0 to 3.
    """
    compressor = isal_zlib.compressobj(level, isal_zlib.DEFLATED, _RAW)
    data = compressor.compress(raw) + compressor.flush(isal_zlib.Z_SYNC_FLUSH)
    return Block(data, isal_zlib.crc32(raw), raw.nbytes)


def stream(blocks: Iterable[Block]) -> Iterator[bytes | memoryview]:
    """Yield the parts of a gzip file with one member."""
    yield _HEADER
    crc = size = 0
    for block in blocks:
        crc = isal_zlib.crc32_combine(crc, block.crc, block.size)
        size += block.size
        yield block.data
    yield isal_zlib.compress(b"", wbits=_RAW) + struct.pack("<II", crc, size & 0xFFFFFFFF)


def side_by_side(raws: Iterable[memoryview | Block], level: int, threads: int) -> Iterator[Block]:
    """Compress blocks on several threads and yield them in order.

    Args:
        raws: bytes to compress, and blocks that are compressed already; read only as fast as the
            threads compress.
        level: of isal, 0 to 3.
        threads: number of threads.
    """
    waiting: deque[Future[Block]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for raw in raws:
            waiting.append(
                _done(raw) if isinstance(raw, Block) else pool.submit(deflated, raw, level)
            )
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _done(block: Block) -> Future[Block]:
    future: Future[Block] = Future()
    future.set_result(block)
    return future
