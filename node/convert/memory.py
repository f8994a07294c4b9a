"""Whether there is memory for a volume, known from its headers before any pixel is read."""

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
"""Below this nothing is checked: a process has so much."""
_SHARE: Final = 0.9
"""Of all memory that can be had, which the rest of the system may leave at best."""
_STORED_AND_KEPT: Final = 2
"""A frame as it is read, and as it is changed on the way into the volume."""
_LOOKED_UP_BYTES: Final = 16 << 20
"""Of a frame, from which on it matters how well it is compressed."""
_BLOCKS: Final = 2
"""The layers that are written, and one that a picture shows."""


def check_room(size: int, what: str) -> None:
    """Refuse what does not fit into memory, before it is begun.

    Args:
        size: bytes that it takes at most.
        what: it is, for people.

    Raises:
        AssemblyError: there is not so much, whatever else ends.
        TooLittleMemory: it is not free at the moment.
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
            f"{what} takes {_said(size)} of memory, and no more than {_said(most)} can be had: too "
            "large for the memory. Give the node, or each of its workers (assembly.worker_memory), "
            "more, or convert the series on a larger machine.",
        )
    raise TooLittleMemory(
        f"{what} takes {_said(size)} of memory, and only {_said(free)} are free at the moment"
    )


def frame_room(pixels: PixelFormat, transfer_syntax_uid: str, file: str, *, packed: bool) -> int:
    """Return how much memory it takes to read one frame of an instance, in bytes.

    Args:
        pixels: how it is stored.
        transfer_syntax_uid: of the data set.
        file: where it is.
        packed: its pixels lie in no one piece of the file: they are compressed or deflated.
    """
    stored = frame_bytes(pixels)
    if pixels.bits_allocated == 1:
        stored *= 8  # each comes in a byte
    if not packed:
        return _STORED_AND_KEPT * stored
    compressed = stored
    if pixels.frames > 1 or stored > _LOOKED_UP_BYTES:
        with suppress(OSError):  # it is met, and told, when the pixels are read
            compressed = Path(file).stat().st_size
    whole = compressed * (1 + min(pixels.frames, 2))
    return whole + decoding_bytes(pixels, transfer_syntax_uid, min(compressed, 2 * stored))


def volume_room(voxels: int, layer: int, frames: Iterable[int], *, whole: bool) -> int:
    """Return how much memory a volume takes while it is made, in bytes.

    Args:
        voxels: bytes of all of it.
        layer: bytes of one layer.
        frames: of each kind of frame what `frame_room` says.
        whole: it has to be in memory as a whole, and not layer by layer.
    """
    return max(frames, default=0) + (voxels + layer if whole else _BLOCKS * layer)


def _said(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
