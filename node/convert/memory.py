"""Check from the headers whether there is memory for a volume, before any pixel is read."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from node.assemble.frames.model import PixelFormat
from node.assemble.pixels.codecs import decoding_bytes
from node.assemble.pixels.stored_values import frame_bytes
from node.core.errors import AssemblyError, Reason, TooLittleMemory
from node.core.system.machine import free_memory, most_memory

ALWAYS_BYTES: Final = 64 << 20
"""Bytes that need no check: every process has this much."""
_SHARE: Final = 0.9
"""Fraction of all memory that the rest of the system leaves at best."""
_STORED_AND_KEPT: Final = 2
"""A frame takes its size twice: as it is read, and as it is converted for the volume."""
_LOOKED_UP_BYTES: Final = 16 << 20
"""Bytes of a frame from which on the real size of the compressed file is looked up."""
_BLOCKS: Final = 2
"""Blocks in memory: the one that is written, and the one that the preview shows."""


def check_room(size: int, what: str) -> None:
    """Refuse work that does not fit into memory, before it begins.

    Args:
        size: bytes that it takes at most.
        what: the subject of the refusal's sentence, such as "A volume of (512, 512, 300) voxels".

    Raises:
        AssemblyError: the machine has not this much memory.
        TooLittleMemory: this much is not free at the moment.
    """
    if size <= ALWAYS_BYTES:
        return
    free = free_memory()
    if size <= free:
        return
    most = int(_SHARE * most_memory())
    if size > most:
        raise AssemblyError(
            Reason.UNSUPPORTED_PIXELS,
            f"{what} takes {_shown(size)} of memory, and at most {_shown(most)} are available: it "
            "is too large for the memory. Give the node, or each of its workers "
            "(assembly.worker_memory), more memory, or convert the series on a larger machine.",
        )
    raise TooLittleMemory(
        f"{what} takes {_shown(size)} of memory, and only {_shown(free)} are free at the moment"
    )


def frame_room(pixels: PixelFormat, transfer_syntax_uid: str, file: str, *, packed: bool) -> int:
    """Return how many bytes of memory it takes to read one frame of an instance.

    Args:
        pixels: the pixel format.
        transfer_syntax_uid: of the data set.
        file: path of the instance.
        packed: the pixel data are compressed or deflated.
    """
    stored = frame_bytes(pixels)
    if pixels.bits_allocated == 1:
        stored *= 8  # each bit becomes a byte
    if not packed:
        return _STORED_AND_KEPT * stored
    compressed = stored
    if pixels.frames > 1 or stored > _LOOKED_UP_BYTES:
        with suppress(OSError):  # reported when the pixels are read
            compressed = Path(file).stat().st_size
    whole = compressed * (1 + min(pixels.frames, 2))
    return whole + decoding_bytes(pixels, transfer_syntax_uid, min(compressed, 2 * stored))


def volume_room(voxels: int, layer: int, frames: Iterable[int], *, whole: bool) -> int:
    """Return how many bytes of memory a volume takes while it is made.

    Args:
        voxels: bytes of the whole volume.
        layer: bytes of one layer.
        frames: `frame_room` of each kind of frame.
        whole: the volume has to be in memory as a whole, not layer by layer.
    """
    return max(frames, default=0) + (voxels + layer if whole else _BLOCKS * layer)


def _shown(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
