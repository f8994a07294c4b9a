"""A receiver as a copy of this process: at the start, when everything is loaded and no thread runs.

Loading takes a second of processor time, and after a crash senders wait for it. A receiver that
dies later is started afresh (`node.receiving.process`): by then there are threads.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from subprocess import TimeoutExpired
from typing import Final

from node.errors import NodeError, traced

log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 0.02


class Forked:
    """A copy of this process that does one thing; as much of `subprocess.Popen` as is needed.

    Args:
        task: what it does, reading from descriptor 0 and writing to descriptor 1.
        foreign: descriptors that are not its own.

    Attributes:
        stdin: what is written here it reads.
        stdout: what it says.
    """

    def __init__(self, task: Callable[[], None], foreign: Iterable[int]) -> None:
        heard, say = os.pipe()
        listen, said = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _be_the_copy(task, heard, said, (say, listen, *foreign))
        os.close(heard)
        os.close(said)
        self.stdin = os.fdopen(say, "wb")
        self.stdout = os.fdopen(listen, "rb")
        self._code: int | None = None

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        if self._code is None:
            with suppress(ChildProcessError):
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def wait(self, timeout: float) -> int:
        """Its exit code, once it has ended.

        Raises:
            TimeoutExpired: it has not.
        """
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise TimeoutExpired("receiver", timeout)
            time.sleep(_LOOK_SECONDS)
        return code

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def _be_the_copy(task: Callable[[], None], heard: int, said: int, foreign: Iterable[int]) -> None:
    """Never returns: what this process was about to do is for the original."""
    code = 1
    try:
        os.dup2(heard, 0)
        os.dup2(said, 1)
        for descriptor in {heard, said, *foreign} - {0, 1}:
            os.close(descriptor)
        task()
        code = 0
    except BaseException as error:
        # Nothing above this frame says so.
        log.error("a receiver ends: %s", error if isinstance(error, NodeError) else traced(error))
        raise
    finally:
        os._exit(code)
