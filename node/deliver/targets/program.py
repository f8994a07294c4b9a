"""Runs a program with limits on its time, on the output that is kept, and on its children.

The program leads a session and a process group of its own. It has ended when its process has, even
if a child still holds its pipes open; children that are left in the group are ended then. A child
that started a session of its own is left alone, and nothing waits for it.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, Final, NamedTuple

GRACE_SECONDS: Final = 5.0
"""From SIGTERM to SIGKILL."""
TAIL_BYTES: Final = 4096
"""How much of the end of standard error is kept."""
_POLL_SECONDS: Final = 0.05  # how late the end of a process whose pipes stay open is noticed
_CHUNK: Final = 65536  # bytes; the capacity of a pipe


class ProgramResult(NamedTuple):
    """How a program ended.

    Attributes:
        code: its exit code, as `subprocess.Popen.returncode`.
        in_time: whether it ended by itself.
        stderr: the end of what it wrote to standard error.
    """

    code: int
    in_time: bool
    stderr: bytes


def run_program(
    arguments: Sequence[str], environment: Mapping[str, str], text: bytes, seconds: float
) -> ProgramResult:
    """Run a program, and end all processes of its group when it ends or is out of time.

    Args:
        arguments: the program and its arguments, as they are passed to it.
        environment: all of its environment variables.
        text: for its standard input; the program need not read it.
        seconds: its time limit; then the group is sent SIGTERM, and SIGKILL after `GRACE_SECONDS`.

    Returns:
        how the program ended.

    Raises:
        OSError: the program cannot be started.
        ValueError: an argument cannot be passed to a program, such as one with a NUL.
    """
    with subprocess.Popen(
        arguments,
        bufsize=0,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        with _Pipes(process, text) as pipes:
            try:
                in_time = pipes.wait_for_end(seconds)
                _signal(process.pid, signal.SIGTERM)  # not reaped yet: the ID is still its own
                grace_ends = time.monotonic() + GRACE_SECONDS
                ended = in_time or pipes.wait_for_end(GRACE_SECONDS)
            except BaseException:
                _signal(process.pid, signal.SIGKILL)
                raise
            if not ended:
                _signal(process.pid, signal.SIGKILL)
            pipes.read_rest()
        code = process.wait()
        _end_group(process.pid, grace_ends)
        return ProgramResult(code, in_time, pipes.stderr)


class _Pipes:
    """Writes to and reads from a process without ever being blocked by it."""

    def __init__(self, process: subprocess.Popen[bytes], text: bytes) -> None:
        self.stderr = b""
        self._pid = process.pid
        self._unwritten = memoryview(text)
        self._selector = selectors.DefaultSelector()
        for pipe, event in (
            (process.stdin, selectors.EVENT_WRITE),
            (process.stderr, selectors.EVENT_READ),
        ):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                self._selector.register(pipe, event, data=pipe)

    def __enter__(self) -> _Pipes:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()

    def wait_for_end(self, seconds: float) -> bool:
        """Whether the process ended within so many seconds; it is not reaped."""
        deadline = time.monotonic() + seconds
        while not _has_ended(self._pid):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            for key, event in self._selector.select(min(left, _POLL_SECONDS)):
                open_still = (
                    self._write(key.fd) if event & selectors.EVENT_WRITE else self._read(key.fd)
                )
                if not open_still:
                    self._close(key.data)
        return True

    def read_rest(self) -> None:
        """Read what the pipe holds; children may still hold it open, and even write to it."""
        for key in list(self._selector.get_map().values()):
            if key.events & selectors.EVENT_READ:
                self._read(key.fd)

    def _write(self, descriptor: int) -> bool:
        try:
            written = os.write(descriptor, self._unwritten[:_CHUNK])
        except BlockingIOError:
            return True
        except OSError:  # the program closed its standard input, as it may
            return False
        self._unwritten = self._unwritten[written:]
        return bool(self._unwritten)

    def _read(self, descriptor: int) -> bool:
        try:
            data = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return True
        self.stderr = (self.stderr + data)[-TAIL_BYTES:]
        return bool(data)

    def _close(self, pipe: IO[bytes]) -> None:
        self._selector.unregister(pipe)
        pipe.close()


def _has_ended(pid: int) -> bool:
    """Whether a child has ended; it is not reaped, so that its process ID stays its own."""
    options = os.WEXITED | os.WNOHANG | os.WNOWAIT
    try:
        return os.waitid(os.P_PID, pid, options) is not None
    except ChildProcessError:
        return True


def _end_group(group: int, grace_ends: float) -> None:
    """Wait for the processes that were sent SIGTERM, and send SIGKILL to those that stay."""
    while _has_processes(group):
        if time.monotonic() > grace_ends:
            _signal(group, signal.SIGKILL)
            return
        time.sleep(_POLL_SECONDS)


def _has_processes(group: int) -> bool:
    with suppress(ChildProcessError):
        # Process 1 of a container inherits orphans, and has to reap them.
        while os.waitpid(-group, os.WNOHANG)[0]:
            pass
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # processes of another user, by sudo: they cannot be ended
        return True
    return True


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
