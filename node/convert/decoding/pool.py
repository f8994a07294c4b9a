"""The decoder processes of this process: one for each thread that decodes, kept for reuse."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from typing import Final

import msgspec
import numpy as np

from node.assemble.frames.model import PixelFormat
from node.assemble.pixels.codecs import Image, decoding_bytes
from node.convert.decoding import child
from node.convert.decoding.pipes import (
    Answer,
    Broken,
    Task,
    receive_head,
    receive_into,
    send,
    widen,
)
from node.core.errors import AssemblyError, Reason, TooLittleMemory
from node.core.system import interpreters
from node.core.system.child_process import ForkedProcess

_MAIN: Final = "from node.convert.decoding.child import main; main()"
_GRACE_SECONDS: Final = 5.0
"""s after its own limit until a decoder that has not ended itself is ended."""
_SPARE_BYTES: Final = 256 << 20
"""Bytes that a codec may take beyond the estimate for its frame."""


class _Decoder:
    """One decoder process.

    Args:
        process: the process, with pipes to it and from it.
    """

    def __init__(self, process: subprocess.Popen[bytes] | ForkedProcess) -> None:
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        self._process = process
        self._asked, self._answers = process.stdin.fileno(), process.stdout.fileno()
        for descriptor in (self._asked, self._answers):
            os.set_blocking(descriptor, False)
            widen(descriptor)

    def decode(self, frame: bytes, task: Task) -> Image:
        """Decode a frame in the process.

        Args:
            frame: compressed.
            task: describes it.

        Returns:
            (rows, columns), or (rows, columns, 3) RGB.

        Raises:
            AssemblyError: the frame cannot be decoded.
            Broken: the process died.
            TimeoutError: the process hangs.
        """
        ends = time.monotonic() + child.LONGEST_FRAME_SECONDS + _GRACE_SECONDS
        send(self._asked, msgspec.msgpack.encode(task), frame, ends)
        head, _ = receive_head(self._answers, ends)
        answer = msgspec.msgpack.decode(head, type=Answer)
        if answer.reason is not None:
            raise AssemblyError(answer.reason, answer.sentence)
        image = np.empty(answer.shape, answer.dtype)
        receive_into(self._answers, image.reshape(-1).view(np.uint8).data, ends)
        return image

    def end(self) -> int:
        """End the process, if it has not ended, and return its exit code."""
        self.let_go()
        try:
            code = self._process.wait(0.2)  # if it is dying, its own exit code says why
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_GRACE_SECONDS)
            return -signal.SIGALRM
        return code

    def let_go(self) -> None:
        """Close the pipes, at which an idle process ends."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


class _Pool:
    """The idle decoders."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Decoder] = []
        self._owner = os.getpid()

    def take(self) -> _Decoder:
        """Return an idle decoder, or a new one."""
        with self._lock:
            self._own()
            if self._idle:
                return self._idle.pop()
        return _started()

    def give(self, decoder: _Decoder) -> None:
        """Return a decoder to the pool."""
        with self._lock:
            self._own()
            self._idle.append(decoder)

    def close(self) -> None:
        """End all idle decoders."""
        with self._lock:
            self._own()
            idle, self._idle = self._idle, []
        for decoder in idle:
            decoder.end()

    def _own(self) -> None:
        """In a forked process, forget the decoders: they are the parent's."""
        if self._owner != os.getpid():
            for decoder in self._idle:
                decoder.let_go()
            self._idle, self._owner = [], os.getpid()


_pool: Final = _Pool()
close: Final = _pool.close
atexit.register(close)


def prepare() -> None:
    """Start a decoder, which loads its libraries while this process goes on."""
    _pool.give(_pool.take())


def prepare_copy() -> None:
    """Fork a decoder that has its libraries loaded. This process must have no other thread yet."""
    _pool.give(_Decoder(ForkedProcess("rasnode-decode", child.main)))


def decode_apart(frame: bytes, pixels: PixelFormat, transfer_syntax_uid: str) -> Image:
    """Return the stored values of one compressed frame, decoded in a child process.

    Args:
        frame: from `node.assemble.pixels.stored_values.split_frames`.
        pixels: the format of the decompressed values.
        transfer_syntax_uid: chooses the codec.

    Returns:
        (rows, columns), or (rows, columns, 3) RGB.

    Raises:
        AssemblyError: the frame cannot be decoded, or the codec died or hung.
        TooLittleMemory: the system killed the process, and again the next one.
    """
    room = decoding_bytes(pixels, transfer_syntax_uid, len(frame)) + _SPARE_BYTES
    task = Task(pixels, str(transfer_syntax_uid), room)
    for _ in range(2):
        decoder = _pool.take()
        try:
            image = decoder.decode(frame, task)
        except AssemblyError:
            _pool.give(decoder)
            raise
        except (Broken, TimeoutError):
            code = decoder.end()
            if code != -signal.SIGKILL:
                raise _broken_down(code) from None
        except BaseException:
            decoder.end()  # its pending answer would be taken for that of the next frame
            raise
        else:
            _pool.give(decoder)
            return image
    raise TooLittleMemory(
        "the process that decodes the images was killed (SIGKILL), as the system does when memory "
        "runs out"
    )


def _broken_down(code: int) -> AssemblyError:
    if code == -signal.SIGALRM:
        how = f"took longer than {child.LONGEST_FRAME_SECONDS} s"
    else:
        how = "broke down"
        with suppress(ValueError):
            how += f" ({signal.Signals(-code).name})"
    return AssemblyError(
        Reason.PIXELS_UNREADABLE,
        f"The codec {how} on a compressed frame: its stream is damaged. Send the instance again "
        "from its original source.",
    )


def _started() -> _Decoder:
    with interpreters.without_interrupts():
        process = subprocess.Popen(
            interpreters.command(_MAIN),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**interpreters.surroundings(), "OPENBLAS_NUM_THREADS": "1"},  # it computes nothing
        )
    return _Decoder(process)
