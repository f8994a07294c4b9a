"""The one codec that can abort its process, in a process of its own.

gdcm, the only codec here for JPEG lossless and 12-bit JPEG, calls abort() on some damaged streams.
What dies then is a child, and the frame is refused by name.
"""

from __future__ import annotations

import atexit
import os
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Final

import msgspec
import numpy as np

from node.assemble.model import PixelFormat
from node.assemble.pixels import Image, compressed_frame
from node.errors import AssemblyError, Reason
from node.supervision import deadline

LONGEST_FRAME_SECONDS: Final = 120.0
"""Then a child is taken to hang; a frame takes some milliseconds."""
_LENGTH: Final = struct.Struct("<Q")
_SERVE: Final = "from node.convert.isolated import serve; serve()"


class _Task(msgspec.Struct, array_like=True):
    frame: bytes
    pixels: PixelFormat
    transfer_syntax_uid: str


class _Answer(msgspec.Struct, array_like=True):
    """A decoded frame, or why there is none."""

    dtype: str = ""
    shape: tuple[int, ...] = ()
    values: bytes = b""
    reason: Reason | None = None
    sentence: str = ""


class _Child:
    """A process that decodes one frame after the other, started when the first one comes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def decode(self, frame: bytes, pixels: PixelFormat, transfer_syntax_uid: str) -> Image:
        """Do what `compressed_frame` does."""
        task = msgspec.msgpack.encode(_Task(frame, pixels, str(transfer_syntax_uid)))
        with self._lock:
            packed = self._ask(self._running(), task)
            if packed is None:
                self.close()
                raise AssemblyError(
                    Reason.PIXELS_UNREADABLE,
                    "The codec broke down over a compressed frame: its stream is damaged. Send "
                    "the instance again, from where it came first.",
                )
        answer = msgspec.msgpack.decode(packed, type=_Answer)
        if answer.reason is not None:
            raise AssemblyError(answer.reason, answer.sentence)
        return np.frombuffer(answer.values, answer.dtype).reshape(answer.shape)

    def close(self) -> None:
        """End the process, if it is this process' own."""
        process, self._process = self._process, None
        if process is not None and self._owner == os.getpid():
            process.kill()
            process.communicate()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._owner != os.getpid():
            package = str(Path(__file__).parents[2])
            others = [path for path in [os.environ.get("PYTHONPATH")] if path]
            self._process = subprocess.Popen(
                [sys.executable, "-c", _SERVE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # codecs complain there
                env={**os.environ, "PYTHONPATH": os.pathsep.join([package, *others])},
            )
            self._owner = os.getpid()
        return self._process

    def _ask(self, process: subprocess.Popen[bytes], task: bytes) -> bytes | None:
        """Return the answer, None if the process died over it or hangs."""
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        with deadline(LONGEST_FRAME_SECONDS, process.kill):
            try:
                _send(process.stdin, task)
                return _receive(process.stdout)
            except BrokenPipeError:
                return None


_child: Final = _Child()
atexit.register(_child.close)


def decode_apart(frame: bytes, pixels: PixelFormat, transfer_syntax_uid: str) -> Image:
    """Return the stored values of one compressed frame, decoded in a process of its own.

    Arguments and result are those of `node.assemble.pixels.compressed_frame`.

    Raises:
        AssemblyError: the frame cannot be decoded, or the codec died over it.
    """
    return _child.decode(frame, pixels, transfer_syntax_uid)


def serve() -> None:
    """Decode what comes by standard input until it ends; what a child does."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a codec prints is no answer
    while (packed := _receive(sys.stdin.buffer)) is not None:
        task = msgspec.msgpack.decode(packed, type=_Task)
        try:
            image = compressed_frame(task.frame, task.pixels, task.transfer_syntax_uid)
            answer = _Answer(image.dtype.str, image.shape, image.tobytes())
        except AssemblyError as error:
            answer = _Answer(reason=error.reason, sentence=error.sentence)
        _send(answers, msgspec.msgpack.encode(answer))


def _send(pipe: IO[bytes], packed: bytes) -> None:
    pipe.write(_LENGTH.pack(len(packed)))
    pipe.write(packed)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> bytes | None:
    """Return one message, None at the end of all."""
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    packed = pipe.read(length)
    return packed if len(packed) == length else None
