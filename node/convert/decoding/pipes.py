"""Messages between a process and its decoder: a head, and a body that is not copied."""

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
"""Size of a pipe's buffer, where the system allows it: fewer writes for a frame."""
_LENGTHS: Final = struct.Struct("<QQ")
"""Lengths of head and body."""
_FOR_EVER: Final = float("inf")
_MOST_AT_ONCE: Final = 1 << 30


class Task(msgspec.Struct, array_like=True, frozen=True):
    """A frame to decode; its bytes are the body.

    Attributes:
        pixels: the format of the decompressed values.
        transfer_syntax_uid: chooses the codec.
        room: bytes of memory that the decoder may take beyond what it holds.
    """

    pixels: PixelFormat
    transfer_syntax_uid: str
    room: int


class Answer(msgspec.Struct, array_like=True, frozen=True):
    """A decoded frame, whose values are the body, or the refusal of the frame."""

    dtype: str = ""
    shape: tuple[int, ...] = ()
    reason: Reason | None = None
    sentence: str = ""


class Broken(Exception):
    """The process at the other end has closed the pipe."""


def widen(descriptor: int) -> None:
    """Enlarge the buffer of a pipe."""
    with suppress(OSError):  # not allowed
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def send(
    descriptor: int, head: bytes, body: bytes | memoryview, deadline: float = _FOR_EVER
) -> None:
    """Write a message.

    Args:
        descriptor: the pipe.
        head: encoded `Task` or `Answer`.
        body: bytes of the frame or of its values.
        deadline: by `time.monotonic`; for a descriptor that does not block.

    Raises:
        Broken: the other process has closed the pipe.
        TimeoutError: the other process did not read the message in time.
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
    """Read the head of a message.

    Args:
        descriptor: the pipe, which does not block.
        deadline: by `time.monotonic`.

    Returns:
        the head, and the length of the body.

    Raises:
        Broken: the other process has closed the pipe.
        TimeoutError: the head was not written in time.
    """
    lengths = bytearray(_LENGTHS.size)
    receive_into(descriptor, memoryview(lengths), deadline)
    length, size = _LENGTHS.unpack(lengths)
    head = bytearray(length)
    receive_into(descriptor, memoryview(head), deadline)
    return bytes(head), size


def received(pipe: IO[bytes]) -> tuple[bytes, bytes]:
    """Read a whole message from a pipe that blocks.

    Returns:
        head and body.

    Raises:
        Broken: the other process has closed the pipe.
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
    """Read the body of a message into memory.

    Args:
        descriptor: the pipe, which does not block.
        body: the memory, of the length of the body.
        deadline: by `time.monotonic`.

    Raises:
        Broken: the other process has closed the pipe.
        TimeoutError: the body was not written in time.
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
