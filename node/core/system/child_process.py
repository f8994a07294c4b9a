"""A process as a copy of this one: at the start, when everything is loaded and no thread runs.

Loading takes a second of processor time, and after a crash senders wait for it. One that dies later
is started afresh, from its module: by then there are threads.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import time
from collections.abc import Callable, Container
from contextlib import suppress
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Final

from node.core.errors import NodeError, traced

log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 0.02


class ForkedProcess:
    """A copy of this process that does one thing; as much of `subprocess.Popen` as is needed.

    Args:
        name: what `ps -o comm` and `top` show; at most 15 characters.
        task: what it does, reading from descriptor 0 and writing to descriptor 1.
        keep: descriptors that it needs; all others but 2 are closed in it, locks among them.
        hear: what becomes its descriptor 0, and stays open here; None: a pipe of its own.

    Attributes:
        stdin: the other end of that pipe.
        stdout: what it says.
    """

    def __init__(
        self,
        name: str,
        task: Callable[[], None],
        keep: Container[int] = (),
        hear: int | None = None,
    ) -> None:
        heard, say = (hear, None) if hear is not None else os.pipe()
        listen, said = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _be_the_copy(name, task, heard, said, keep)
        if say is not None:
            os.close(heard)
        os.close(said)
        self.stdin = None if say is None else os.fdopen(say, "wb")
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

    def wait(self, timeout: float = math.inf) -> int:
        """Its exit code, once it has ended.

        Raises:
            TimeoutExpired: it has not.
        """
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise TimeoutExpired("copy", timeout)
            time.sleep(_LOOK_SECONDS)
        return code

    def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def _be_the_copy(
    name: str, task: Callable[[], None], heard: int, said: int, keep: Container[int]
) -> None:
    """Never returns: what this process was about to do is for the original."""
    code = 1
    try:
        os.dup2(heard, 0)
        os.dup2(said, 1)
        for descriptor in [int(one.name) for one in Path("/proc/self/fd").iterdir()]:
            if descriptor > 2 and descriptor not in keep:
                with suppress(OSError):  # the one that the list was read with
                    os.close(descriptor)
        with suppress(OSError):  # it is for people to see
            Path("/proc/self/comm").write_text(name)
        task()
        code = 0
    except BaseException as error:
        # Nothing above this frame says so.
        log.error("%s ends: %s", name, error if isinstance(error, NodeError) else traced(error))
        raise
    finally:
        os._exit(code)
