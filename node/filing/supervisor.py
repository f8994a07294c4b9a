"""The node's end of the filer: starts it, wakes it, hears from it, starts it again if it dies."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from node.filing.process import ENVIRONMENT
from node.filing.report import LENGTH, Report, decode

log = logging.getLogger(__name__)

_AGAIN_SECONDS: Final = 1.0


class Filing:
    """The filer process.

    Args:
        retention: `storage.retention`, as JSON has it.
        filed: called with a report of each batch, in a thread of its own.
    """

    def __init__(
        self,
        root: Path,
        database_url: str,
        log_format: str,
        filed: Callable[[Report], None],
        retention: Mapping[str, Any] | None,
    ) -> None:
        self._filed = filed
        said: Mapping[str, Any] = {
            "root": str(root.absolute()),
            "url": database_url,
            "log": log_format,
            "retention": retention,
        }
        self._environment = {**os.environ, ENVIRONMENT: json.dumps(said)}
        self._heard, self.bell = os.pipe()  # the ringing end may go to other processes
        os.set_blocking(self.bell, False)
        self._stopping = False
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._listen, name="filer", daemon=True)

    def start(self) -> None:
        """Start the process."""
        self._process = self._spawn()
        self._thread.start()

    def ring(self) -> None:
        """Something was answered."""
        with suppress(BlockingIOError):  # full: it has been rung often enough
            os.write(self.bell, b"\0")

    def stop(self, seconds: float) -> None:
        """Let it file the rest; what it does not manage in time is filed at the next start."""
        self._stopping = True
        os.close(self.bell)
        if self._process is not None:
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                log.warning("filing takes too long; the rest is filed at the next start")
                self._process.kill()
            self._thread.join(1.0)
        os.close(self._heard)

    def _spawn(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "node.filing.process"],
            stdin=self._heard,
            stdout=subprocess.PIPE,
            env=self._environment,
        )

    def _listen(self) -> None:
        while True:
            process = self._process
            assert process is not None  # noqa: S101
            assert process.stdout is not None  # noqa: S101
            with process.stdout as output:
                while len(data := output.read(LENGTH)) == LENGTH:
                    self._filed(decode(data))
            code = process.wait()
            if self._stopping:
                return
            log.error("the process that files instances died (%d); it is started again", code)
            threading.Event().wait(_AGAIN_SECONDS)
            self._process = self._spawn()
