"""The node's end of the ingester: starts it, wakes it, and hears from it."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from node.core.supervision import SupervisedProcess
from node.core.system import interpreters
from node.core.system.child_process import ForkedProcess
from node.storage.ingest.process import file
from node.storage.ingest.report import Report, decode

log = logging.getLogger(__name__)

NAME: Final = "ingester"


class IngestSupervisor:
    """The ingester process. It is made at once, and files from `start` on.

    Args:
        retention: `storage.retention`, as JSON has it.
        ingested: called with a report of each batch, in a thread of its own.
    """

    def __init__(
        self,
        root: Path,
        database_url: str,
        log_format: str,
        ingested: Callable[[Report], None],
        retention: Mapping[str, Any] | None,
    ) -> None:
        self._ingested = ingested
        said: Mapping[str, Any] = {
            "root": str(root.absolute()),
            "url": database_url,
            "log": log_format,
            "retention": retention,
        }
        self._said = said
        self._heard, self.bell = os.pipe()  # the ringing end may go to other processes
        os.set_blocking(self.bell, False)
        self._stopped = False
        self._process = SupervisedProcess(
            NAME,
            ForkedProcess("rasnode-file", partial(_wait_and_file, said), stdin=self._heard),
            self._spawn,
            lambda line: self._ingested(decode(line)),
        )

    def start(self) -> None:
        """Have it begin: archive and index are as they have to be."""
        self.ring()
        self._process.start()

    def ring(self) -> None:
        """Something was answered."""
        with suppress(BlockingIOError):  # full: it has been rung often enough
            os.write(self.bell, b"\0")

    def stop(self, seconds: float) -> None:
        """Let it file the rest; what it does not manage in time is ingested at the next start."""
        if self._stopped:
            return
        self._stopped = True
        self._process.expect_end()
        os.close(self.bell)
        try:
            self._process.process.wait(seconds)
        except subprocess.TimeoutExpired:
            log.warning("filing takes too long; the rest is ingested at the next start")
            self._process.process.kill()
        self._process.stop(1.0)
        os.close(self._heard)

    def _spawn(self) -> subprocess.Popen[bytes]:
        return interpreters.start("node.storage.ingest.process", self._said, stdin=self._heard)


def _wait_and_file(said: Mapping[str, Any]) -> None:
    """What the copy does, once it is rung for the first time."""
    if os.read(0, 1):
        file(said)
