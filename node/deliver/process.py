"""Runs a program with bounds on its time, on what is kept of its output, and on its children.

The program leads a session and a process group of its own. It is over when its process is, whoever
still holds its pipes; what it left in its group is ended then. A child that made itself another
session is left alone, and keeps nobody waiting.
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
"""What is kept of standard error: its end."""
_LOOK_SECONDS: Final = 0.05  # how late the end of a process whose pipes stay open is noticed
_CHUNK: Final = 65536  # bytes; also what a pipe holds


class Ran(NamedTuple):
    """What became of a program.

    Attributes:
        code: its exit code, as `subprocess.Popen.returncode`.
        in_time: it ended by itself.
        complaint: the end of what it wrote to standard error.
    """

    code: int
    in_time: bool
    complaint: bytes


def run(
    arguments: Sequence[str], environment: Mapping[str, str], text: bytes, seconds: float
) -> Ran:
    """Run a program and whatever it starts in its process group.

    Args:
        text: for its standard input; it need not read it.
        seconds: after so many the group is ended: SIGTERM, and SIGKILL after `GRACE_SECONDS`.

    Raises:
        OSError: it cannot be started.
        ValueError: an argument cannot be passed to a program.
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
        with _Talk(process, text) as talk:
            try:
                in_time = talk.until_its_end(seconds)
                _signal(process.pid, signal.SIGTERM)  # not reaped yet: the number is still its own
                grace_ends = time.monotonic() + GRACE_SECONDS
                ended = in_time or talk.until_its_end(GRACE_SECONDS)
            except BaseException:
                _signal(process.pid, signal.SIGKILL)
                raise
            if not ended:
                _signal(process.pid, signal.SIGKILL)
            talk.hear_the_rest()
        code = process.wait()
        _end_group(process.pid, grace_ends)
        return Ran(code, in_time, talk.complaint)


class _Talk:
    """Feeds a process and listens to it without ever being blocked by it."""

    def __init__(self, process: subprocess.Popen[bytes], text: bytes) -> None:
        self.complaint = b""
        self._pid = process.pid
        self._unsaid = memoryview(text)
        self._selector = selectors.DefaultSelector()
        for pipe, event in (
            (process.stdin, selectors.EVENT_WRITE),
            (process.stderr, selectors.EVENT_READ),
        ):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                self._selector.register(pipe, event, data=pipe)

    def __enter__(self) -> _Talk:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()

    def until_its_end(self, seconds: float) -> bool:
        """Whether the process has ended within so many seconds; it is not reaped."""
        deadline = time.monotonic() + seconds
        while not _has_ended(self._pid):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            for key, event in self._selector.select(min(left, _LOOK_SECONDS)):
                going_on = (
                    self._say(key.fd) if event & selectors.EVENT_WRITE else self._hear(key.fd)
                )
                if not going_on:
                    self._hang_up(key.data)
        return True

    def hear_the_rest(self) -> None:
        """Take what is in the pipe; others may hold it open, and even write."""
        for key in list(self._selector.get_map().values()):
            if key.events & selectors.EVENT_READ:
                self._hear(key.fd)

    def _say(self, descriptor: int) -> bool:
        try:
            said = os.write(descriptor, self._unsaid[:_CHUNK])
        except BlockingIOError:
            return True
        except OSError:  # it closed its standard input, as it may
            return False
        self._unsaid = self._unsaid[said:]
        return bool(self._unsaid)

    def _hear(self, descriptor: int) -> bool:
        try:
            heard = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return True
        self.complaint = (self.complaint + heard)[-TAIL_BYTES:]
        return bool(heard)

    def _hang_up(self, pipe: IO[bytes]) -> None:
        self._selector.unregister(pipe)
        pipe.close()


def _has_ended(pid: int) -> bool:
    """Whether a child is a zombie: over, while its number still belongs to it."""
    options = os.WEXITED | os.WNOHANG | os.WNOWAIT
    try:
        return os.waitid(os.P_PID, pid, options) is not None
    except ChildProcessError:
        return True


def _end_group(group: int, grace_ends: float) -> None:
    """See that what was sent SIGTERM ends, and send SIGKILL to what does not."""
    while _is_anybody_in(group):
        if time.monotonic() > grace_ends:
            _signal(group, signal.SIGKILL)
            return
        time.sleep(_LOOK_SECONDS)


def _is_anybody_in(group: int) -> bool:
    with suppress(ChildProcessError):
        # The first process of a container inherits orphans, and has to reap them.
        while os.waitpid(-group, os.WNOHANG)[0]:
            pass
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's, by sudo: there they are, beyond our reach
        return True
    return True


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
