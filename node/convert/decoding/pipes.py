"""Messages between a process and its decoder: a head, and bytes that are not copied on the way."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import time
from contextlib import suppress
from typing import IO, Final

import msgspec

from node.assemble.frames.model import PixelFormat
from node.core.errors import Reason

PIPE_BYTES: Final = 1 << 20
"""That a pipe holds, where the system allows it: fewer turns for a frame."""
_LENGTHS: Final = struct.Struct("<QQ")
"""Of head and body."""
_FOR_EVER: Final = float("inf")
_MOST_AT_ONCE: Final = 1 << 30


class Task(msgspec.Struct, array_like=True, frozen=True):
    """A frame to decode; its bytes are the body.

    Attributes:
        room: bytes of memory that may be taken beyond what is held already.
    """

    pixels: PixelFormat
    transfer_syntax_uid: str
    room: int


class Answer(msgspec.Struct, array_like=True, frozen=True):
    """A decoded frame, whose values are the body, or why there is none."""

    dtype: str = ""
    shape: tuple[int, ...] = ()
    reason: Reason | None = None
    sentence: str = ""


class Broken(Exception):
    """The other end is gone."""


def widen(descriptor: int) -> None:
    """Let a pipe hold more."""
    with suppress(OSError):  # not allowed
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def send(
    descriptor: int, head: bytes, body: bytes | memoryview, deadline: float = _FOR_EVER
) -> None:
    """Write a message.

    Args:
        deadline: by `time.monotonic`; for a descriptor that does not block.

    Raises:
        Broken: nobody reads any more.
        TimeoutError: it was not read in time.
    """
    begin = memoryview(_LENGTHS.pack(len(head), len(body)) + head)
    for part in (begin, memoryview(body)):
        at = 0
        while at < len(part):
            try:
                at += os.write(descriptor, part[at : at + _MOST_AT_ONCE])
            except BlockingIOError:
                _wait(descriptor, select.POLLOUT, deadline)
            except BrokenPipeError as error:
                raise Broken from error


def receive_head(descriptor: int, deadline: float) -> tuple[bytes, int]:
    """Read the head of a message; return it and the length of its body.

    Raises:
        Broken: there is no more.
        TimeoutError: it did not come in time.
    """
    lengths = bytearray(_LENGTHS.size)
    receive_into(descriptor, memoryview(lengths), deadline)
    length, size = _LENGTHS.unpack(lengths)
    head = bytearray(length)
    receive_into(descriptor, memoryview(head), deadline)
    return bytes(head), size


def received(pipe: IO[bytes]) -> tuple[bytes, bytes]:
    """Read a whole message from a pipe that blocks; return its head and body.

    Raises:
        Broken: there is no more.
    """
    lengths = pipe.read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        raise Broken
    length, size = _LENGTHS.unpack(lengths)
    head, body = pipe.read(length), pipe.read(size)
    if len(body) < size:
        raise Broken
    return head, body


def receive_into(descriptor: int, body: memoryview, deadline: float) -> None:
    """Read the body of a message.

    Raises:
        Broken: it ends before.
        TimeoutError: it did not come in time.
    """
    at = 0
    while at < len(body):
        try:
            count = os.readv(descriptor, [body[at : at + _MOST_AT_ONCE]])
        except BlockingIOError:
            _wait(descriptor, select.POLLIN, deadline)
            continue
        if not count:
            raise Broken
        at += count


def _wait(descriptor: int, event: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(descriptor, event)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise TimeoutError
