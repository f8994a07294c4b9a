"""Several receivers on one port: started, told, watched and stopped together."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Any, Final

from node import listening, metrics
from node.config import Dicom, Settings
from node.errors import ConfigError
from node.forked import Forked
from node.receiving.process import ENVIRONMENT, GO, READY, receive

log = logging.getLogger(__name__)

_BACKLOG: Final = 1024
_START_SECONDS: Final = 60.0
_AGAIN_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.2
_GRACE_SECONDS: Final = 3.0


class Crew:
    """`dicom.processes` receivers. They load while the rest of the node is made ready, and serve
    from `start` on; until then nothing listens.

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
        self._listening = _bound(settings.dicom)
        self._ready = [threading.Event() for _ in range(settings.dicom.processes)]
        self._processes: list[subprocess.Popen[bytes] | Forked] = []
        for lane in range(settings.dicom.processes):
            self._processes.append(self._fork(lane))
        for lane, process in enumerate(self._processes):
            self._hear(process, lane)

    @property
    def port(self) -> int:
        """The DICOM port."""
        return int(self._listening.getsockname()[1])

    def start(self) -> None:
        """Start them all, and wait until each of them accepts.

        Raises:
            ConfigError: one of them cannot; it has said why in the log.
        """
        try:
            self._listening.listen(_BACKLOG)
        except OSError as error:
            raise _taken(self._settings.dicom, error) from error
        for process in self._processes:
            _say(process, GO)
        deadline = time.monotonic() + _START_SECONDS
        for process, ready in zip(self._processes, self._ready, strict=True):
            while not ready.wait(_LOOK_SECONDS):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise ConfigError("a receiver process does not start; the log says why")
        threading.Thread(target=self._watch, name="crew", daemon=True).start()

    def allow(self, dicom: Dicom) -> None:
        """Pass changed peers and rules on."""
        with self._lock:
            self._settings = self._settings.model_copy(update={"dicom": dicom})
            for process in self._processes:
                _say(process, dicom.model_dump_json().encode() + b"\n")

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

    def _said(self, lane: int) -> dict[str, Any]:
        return {
            # A receiver delivers nothing, and is not given the secrets of deliveries.
            "settings": self._settings.model_dump(mode="json", exclude={"deliver"}),
            "run": self._run,
            "lane": lane,
            "listening": self._listening.fileno(),
            "bell": self._bell,
            "seconds": self._seconds,
            "parent": os.getpid(),
        }

    def _fork(self, lane: int) -> Forked:
        """A receiver from the start: while this process has no other thread."""
        said = self._said(lane)
        keep = (self._listening.fileno(), self._bell)
        return Forked("rasnode-receive", lambda: receive(said), keep)

    def _spawn(self, lane: int) -> subprocess.Popen[bytes]:
        """A receiver in the place of one that died."""
        process = subprocess.Popen(
            [sys.executable, "-m", "node.receiving.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, ENVIRONMENT: json.dumps(self._said(lane))},
            pass_fds=(self._listening.fileno(), self._bell),
        )
        self._hear(process, lane)
        return process

    def _hear(self, process: subprocess.Popen[bytes] | Forked, lane: int) -> None:
        thread = threading.Thread(target=self._listen_to, args=(process, lane), daemon=True)
        thread.start()

    def _listen_to(self, process: subprocess.Popen[bytes] | Forked, lane: int) -> None:
        assert process.stdout is not None  # noqa: S101
        with process.stdout as output:
            for line in output:
                said = line.decode("ascii", "replace").strip()
                if said == READY:
                    self._ready[lane].set()
                else:
                    metrics.heard(said)

    def _watch(self) -> None:
        while not self._stopping.wait(_AGAIN_SECONDS):
            with self._lock:
                for lane, process in enumerate(self._processes):
                    code = process.poll()
                    if code is not None and not self._stopping.is_set():
                        log.error("a receiver process died (%d); it is started again", code)
                        self._processes[lane] = self._spawn(lane)
                        _say(self._processes[lane], GO)


def _bound(dicom: Dicom) -> socket.socket:
    try:
        return listening.bound(dicom.host, dicom.port)
    except OSError as error:
        raise _taken(dicom, error) from error


def _taken(dicom: Dicom, error: OSError) -> ConfigError:
    return ConfigError(listening.refusal("DICOM", dicom.host, dicom.port, "dicom.port", error))


def _say(process: subprocess.Popen[bytes] | Forked, line: bytes) -> None:
    assert process.stdin is not None  # noqa: S101
    with suppress(OSError):  # it has died, and gets the settings when it is started again
        process.stdin.write(line)
        process.stdin.flush()
