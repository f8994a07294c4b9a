"""Several receivers on one port: started, told, watched and stopped together."""

from __future__ import annotations

import json
import logging
import os
import select
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Any, Final

from node.config import Dicom, Settings
from node.errors import ConfigError
from node.receiving.process import ENVIRONMENT, READY

log = logging.getLogger(__name__)

_BACKLOG: Final = 1024
_START_SECONDS: Final = 60.0
_AGAIN_SECONDS: Final = 1.0
_GRACE_SECONDS: Final = 3.0


class Crew:
    """`dicom.processes` receivers.

    Args:
        run: which run of the node this is.
        bell: descriptor that wakes the filer.
        seconds: how long a receiver may take to answer what is under way when it is stopped.

    Raises:
        ConfigError: the port is taken or may not be used.
    """

    def __init__(self, settings: Settings, *, run: str, bell: int, seconds: float) -> None:
        self._settings = settings
        self._run = run
        self._bell = bell
        self._seconds = seconds
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._listening = _listen(settings.dicom)
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def port(self) -> int:
        """The DICOM port."""
        return int(self._listening.getsockname()[1])

    def start(self) -> None:
        """Start them all, and wait until each of them accepts.

        Raises:
            ConfigError: one of them cannot; it has said why in the log.
        """
        self._processes = [self._spawn(lane) for lane in range(self._settings.dicom.processes)]
        deadline = time.monotonic() + _START_SECONDS
        for process in self._processes:
            if not _ready(process, deadline - time.monotonic()):
                self.stop()
                raise ConfigError("a receiver process does not start; the log says why")
        threading.Thread(target=self._watch, name="crew", daemon=True).start()

    def allow(self, dicom: Dicom) -> None:
        """Pass changed peers and rules on."""
        with self._lock:
            self._settings = self._settings.model_copy(update={"dicom": dicom})
            for process in self._processes:
                _tell(process, dicom)

    def stop(self) -> None:
        """Accept no more, let what is under way be answered, and end."""
        self._stopping.set()
        self._listening.close()
        with self._lock:
            for process in self._processes:
                assert process.stdin is not None  # noqa: S101
                with suppress(OSError):
                    process.stdin.close()
            deadline = time.monotonic() + self._seconds + _GRACE_SECONDS
            for process in self._processes:
                try:
                    process.wait(max(0.1, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    process.kill()

    def _spawn(self, lane: int) -> subprocess.Popen[bytes]:
        said: dict[str, Any] = {
            "settings": self._settings.model_dump(mode="json"),
            "run": self._run,
            "lane": lane,
            "listening": self._listening.fileno(),
            "bell": self._bell,
            "seconds": self._seconds,
        }
        return subprocess.Popen(
            [sys.executable, "-m", "node.receiving.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, ENVIRONMENT: json.dumps(said)},
            pass_fds=(self._listening.fileno(), self._bell),
        )

    def _watch(self) -> None:
        while not self._stopping.wait(_AGAIN_SECONDS):
            with self._lock:
                for lane, process in enumerate(self._processes):
                    code = process.poll()
                    if code is not None and not self._stopping.is_set():
                        log.error("a receiver process died (%d); it is started again", code)
                        self._processes[lane] = self._spawn(lane)


def _listen(dicom: Dicom) -> socket.socket:
    family = socket.AF_INET6 if ":" in dicom.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((dicom.host, dicom.port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"cannot listen on {dicom.host}:{dicom.port}: {error.strerror}; "
            "is another program there, or is the port below 1024 (dicom.port)?"
        ) from error
    return listening


def _ready(process: subprocess.Popen[bytes], seconds: float) -> bool:
    assert process.stdout is not None  # noqa: S101
    found, _, _ = select.select([process.stdout], [], [], max(0.0, seconds))
    return bool(found) and process.stdout.readline() == READY


def _tell(process: subprocess.Popen[bytes], dicom: Dicom) -> None:
    assert process.stdin is not None  # noqa: S101
    with suppress(OSError):  # it has died, and gets the settings when it is started again
        process.stdin.write(dicom.model_dump_json().encode() + b"\n")
        process.stdin.flush()
