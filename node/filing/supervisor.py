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
from functools import partial
from pathlib import Path
from typing import Any, Final

from node.filing.process import ENVIRONMENT, file
from node.filing.report import LENGTH, Report, decode
from node.forked import Forked

log = logging.getLogger(__name__)

_AGAIN_SECONDS: Final = 1.0


class Filing:
    """The filer process. It is made at once, and files from `start` on.

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
        self._stopped = False
        self._process: subprocess.Popen[bytes] | Forked = Forked(
            "rasnode-file", partial(_wait_and_file, said), hear=self._heard
        )
        self._thread = threading.Thread(target=self._listen, name="filer", daemon=True)

    def start(self) -> None:
        """Have it begin: archive and index are as they have to be."""
        self.ring()
        self._thread.start()

    def ring(self) -> None:
        """Something was answered."""
        with suppress(BlockingIOError):  # full: it has been rung often enough
            os.write(self.bell, b"\0")

    def stop(self, seconds: float) -> None:
        """Let it file the rest; what it does not manage in time is filed at the next start."""
        if self._stopped:
            return
        self._stopped = True
        os.close(self.bell)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            log.warning("filing takes too long; the rest is filed at the next start")
            self._process.kill()
        if self._thread.is_alive():
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
            assert process.stdout is not None  # noqa: S101
            with process.stdout as output:
                while len(data := output.read(LENGTH)) == LENGTH:
                    self._filed(decode(data))
            code = process.wait()
            if self._stopped:
                return
            log.error("the process that files instances died (%d); it is started again", code)
            threading.Event().wait(_AGAIN_SECONDS)
            self._process = self._spawn()


def _wait_and_file(said: Mapping[str, Any]) -> None:
    """What the copy does, once it is rung for the first time."""
    if os.read(0, 1):
        file(said)
