"""Child processes that are forked at the start, when all modules are loaded and no thread runs.

Loading takes a second of processor time, and after a crash senders wait for it. A child that dies
later is started anew from its module, as there are threads by then.
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
    """A fork of this process that runs one task, with the needed part of `subprocess.Popen`.

    Args:
        name: name in `ps -o comm` and `top`; at most 15 characters.
        task: the task, which reads from descriptor 0 and writes to descriptor 1.
        keep: descriptors that the child needs; it closes all others but 2, including locks.
        stdin: descriptor that becomes its descriptor 0 and stays open here; None makes a pipe.

    Attributes:
        pid: process ID of the child.
        stdin: the other end of that pipe; None if there is none.
        stdout: the other end of the child's descriptor 1.
    """

    def __init__(
        self,
        name: str,
        task: Callable[[], None],
        keep: Container[int] = (),
        stdin: int | None = None,
    ) -> None:
        read_end, write_end = (stdin, None) if stdin is not None else os.pipe()
        output, child_output = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _run_child(name, task, read_end, child_output, keep)
        if write_end is not None:
            os.close(read_end)
        os.close(child_output)
        self.stdin = None if write_end is None else os.fdopen(write_end, "wb")
        self.stdout = os.fdopen(output, "rb")
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code; None while the child runs."""
        if self._code is None:
            with suppress(ChildProcessError):
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def wait(self, timeout: float = math.inf) -> int:
        """Wait for the child to end and return its exit code.

        Raises:
            TimeoutExpired: it did not end within `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise TimeoutExpired("copy", timeout)
            time.sleep(_LOOK_SECONDS)
        return code

    def kill(self) -> None:
        """End the child at once (SIGKILL)."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def _run_child(
    name: str, task: Callable[[], None], read_end: int, output: int, keep: Container[int]
) -> None:
    """Run the task in the child, and end the child."""
    code = 1
    try:
        os.dup2(read_end, 0)
        os.dup2(output, 1)
        for descriptor in [int(one.name) for one in Path("/proc/self/fd").iterdir()]:
            if descriptor > 2 and descriptor not in keep:
                with suppress(OSError):  # the descriptor of the listing itself
                    os.close(descriptor)
        with suppress(OSError):  # the name is only for display
            Path("/proc/self/comm").write_text(name)
        task()
        code = 0
    except BaseException as error:
        # no caller logs it
        log.error("%s ends: %s", name, error if isinstance(error, NodeError) else traced(error))
        raise
    finally:
        os._exit(code)
