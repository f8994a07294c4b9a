"""The decoders of a process: as many as threads that decode at once, each used again and again."""

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
"""After which a decoder that has not ended itself is ended."""
_SPARE_BYTES: Final = 256 << 20
"""That a codec may take beyond what is reckoned for its frame."""


class _Decoder:
    """One process.

    Args:
        process: it, with pipes to it and from it.
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
        """Have a frame decoded.

        Raises:
            AssemblyError: it cannot be.
            Broken: the process died.
            TimeoutError: it did not even die.
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
        """End it, if it has not ended; return its exit code."""
        self.let_go()
        try:
            code = self._process.wait(0.2)  # it is dying: its own code says of what
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_GRACE_SECONDS)
            return -signal.SIGALRM
        return code

    def let_go(self) -> None:
        """Close the pipes: an idle one ends then."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


class _Pool:
    """Decoders that nobody uses at the moment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Decoder] = []
        self._owner = os.getpid()

    def take(self) -> _Decoder:
        """One that is idle, or else a new one."""
        with self._lock:
            self._own()
            if self._idle:
                return self._idle.pop()
        return _started()

    def give(self, decoder: _Decoder) -> None:
        """It is idle again."""
        with self._lock:
            self._own()
            self._idle.append(decoder)

    def close(self) -> None:
        """End those that are idle."""
        with self._lock:
            self._own()
            idle, self._idle = self._idle, []
        for decoder in idle:
            decoder.end()

    def _own(self) -> None:
        """Of a process that was forked, the decoders are its parent's."""
        if self._owner != os.getpid():
            for decoder in self._idle:
                decoder.let_go()
            self._idle, self._owner = [], os.getpid()


_pool: Final = _Pool()
close: Final = _pool.close
atexit.register(close)


def prepare() -> None:
    """Have a decoder, which loads while this process does something else."""
    _pool.give(_pool.take())


def prepare_copy() -> None:
    """Make a copy of this process that decodes, ready at once. It must have no other thread yet."""
    _pool.give(_Decoder(ForkedProcess("rasnode-decode", child.main)))


def decode_apart(frame: bytes, pixels: PixelFormat, transfer_syntax_uid: str) -> Image:
    """Return the stored values of one compressed frame, decoded in a process of its own.

    Arguments and result are those of `node.assemble.pixels.stored_values.compressed_frame`.

    Raises:
        AssemblyError: the frame cannot be decoded, or the codec died over it.
        TooLittleMemory: the process was ended from outside, and so was the next.
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
            decoder.end()  # what it still says belongs to no frame
            raise
        else:
            _pool.give(decoder)
            return image
    raise TooLittleMemory(
        "the process that decodes its images was ended from outside (SIGKILL), as the system does "
        "when memory runs out"
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
        f"The codec {how} over a compressed frame: its stream is damaged. Send the instance again, "
        "from its original source.",
    )


def _started() -> _Decoder:
    return _Decoder(
        subprocess.Popen(
            interpreters.command(_MAIN),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**interpreters.surroundings(), "OPENBLAS_NUM_THREADS": "1"},  # it computes nothing
        )
    )
