"""The node's side of the ingester process: starts it, wakes it, and receives its reports."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from node.core.supervision import Program, SupervisedProcess
from node.storage.ingest.process import ingest
from node.storage.ingest.report import Report, decode

log = logging.getLogger(__name__)

NAME: Final = "ingester"


class IngestSupervisor:
    """The ingester process. It is made at once, and ingests from `start` on.

    Args:
        root: `storage.root`.
        database_url: of the index.
        log_format: `log.format`.
        ingested: called with the report of each batch, in a thread of its own.
        retention: `storage.retention` as JSON has it; None: series stay.

    Attributes:
        wakeup: descriptor; a byte written to it wakes the ingester. Other processes may inherit it.
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
        configuration: Mapping[str, Any] = {
            "root": str(root.absolute()),
            "url": database_url,
            "log": log_format,
            "retention": retention,
        }
        self._wakeups, self.wakeup = os.pipe()
        os.set_blocking(self.wakeup, False)
        self._stopped = False
        program = Program(
            title="rasnode-ingest",
            task=_wait_and_ingest,
            module="node.storage.ingest.process",
            configuration=lambda: configuration,
            stdin=self._wakeups,
        )
        self._process = SupervisedProcess(
            NAME, program.fork(), program.spawn, lambda line: self._ingested(decode(line))
        )

    def start(self) -> None:
        """Let it begin: archive and index are ready."""
        self.wake()
        self._process.start()

    def wake(self) -> None:
        """Tell it that there are new records in the journal."""
        with suppress(BlockingIOError):  # the pipe is full: it will wake
            os.write(self.wakeup, b"\0")

    def stop(self, seconds: float) -> None:
        """Let it ingest the rest for so many seconds; what is left waits for the next start."""
        if self._stopped:
            return
        self._stopped = True
        self._process.expect_end()
        os.close(self.wakeup)
        try:
            self._process.process.wait(seconds)
        except subprocess.TimeoutExpired:
            log.warning(
                "the ingester does not finish within %.0f s and is killed; the journal keeps the "
                "rest, which is ingested at the next start",
                seconds,
            )
            self._process.process.kill()
        self._process.stop(1.0)
        os.close(self._wakeups)


def _wait_and_ingest(configuration: dict[str, Any]) -> None:
    """What the copy runs: it waits until it is woken for the first time."""
    if os.read(0, 1):
        ingest(configuration)
