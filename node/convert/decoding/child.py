"""The decoder process: decodes one frame after the other until its input ends."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from contextlib import suppress
from functools import lru_cache
from typing import Final

import msgspec
import numpy as np

from node.assemble.pixels.stored_values import Image, compressed_frame
from node.convert.decoding.pipes import Answer, Broken, Task, received, send
from node.core.errors import AssemblyError, Reason
from node.core.system.machine import held_bytes

LONGEST_FRAME_SECONDS: Final = 120
"""s; a codec that takes longer hangs, and the system ends its process. A frame takes milliseconds,
an image of 10,000 rows some tens of seconds."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt(3)
_KEPT_BYTES: Final = 16 << 20
"""Bytes of freed memory that glibc keeps for the next frame."""


def main() -> None:
    """Read tasks from descriptor 0 and write answers to descriptor 1."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    _keep_memory()
    answers = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)  # output of a codec is not an answer,
    os.dup2(nowhere, 2)  # and may quote patient data
    asked = os.fdopen(0, "rb", closefd=False)
    while True:
        try:
            head, frame = received(asked)
            task = msgspec.msgpack.decode(head, type=Task)
            signal.alarm(LONGEST_FRAME_SECONDS)
            answer, values = _decoded(task, frame)
            signal.alarm(0)
            send(answers, msgspec.msgpack.encode(answer), values)
        except Broken:
            return
        del frame, values  # do not hold them while the next frame is read


def _decoded(task: Task, frame: bytes) -> tuple[Answer, memoryview]:
    _limit(task.room)
    try:
        image = compressed_frame(frame, task.pixels, task.transfer_syntax_uid)
        flat = np.ascontiguousarray(image)
    except MemoryError:
        sentence = (
            "Decoding a compressed frame takes more memory than an image of its size can need: the "
            "frame is damaged or hostile. Send the instance again from its original source."
        )
        return Answer(reason=Reason.PIXELS_UNREADABLE, sentence=sentence), memoryview(b"")
    except AssemblyError as error:
        return Answer(reason=error.reason, sentence=error.sentence), memoryview(b"")
    return Answer(flat.dtype.str, flat.shape), _bytes_of(flat)


def _bytes_of(image: Image) -> memoryview:
    return image.reshape(-1).view(np.uint8).data


def _keep_memory() -> None:
    """Let glibc keep freed memory: allocating it anew for each frame takes longer than decoding."""
    with suppress(OSError, AttributeError):  # another C library
        allocator = ctypes.CDLL(None)
        allocator.mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        allocator.mallopt(_MMAP_THRESHOLD, _KEPT_BYTES)


@lru_cache(maxsize=1)
def _limit(room: int) -> None:
    """Limit the memory of codecs; the cache spares setting the same limit again."""
    held = held_bytes()
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    limit = held + room if most == resource.RLIM_INFINITY else min(held + room, most)
    with suppress(ValueError, OSError):  # less than it holds already
        resource.setrlimit(resource.RLIMIT_DATA, (limit, most))
