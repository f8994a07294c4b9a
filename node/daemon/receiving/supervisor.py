"""Several receivers on one port: started, told and stopped together."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from contextlib import suppress
from functools import partial
from typing import Any, Final

from node.core import metrics
from node.core.errors import ConfigError
from node.core.settings.model import Dicom, Settings
from node.core.supervision import Process, SupervisedProcess
from node.core.system import interpreters, listening
from node.core.system.child_process import ForkedProcess
from node.daemon.receiving.process import GO, READY, receive

NAME: Final = "receiver"
_BACKLOG: Final = 1024
_START_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.2
_GRACE_SECONDS: Final = 3.0


class ReceiverSupervisor:
    """`dicom.processes` receivers. They load while the rest of the node is made ready, and serve
    from `start` on; until then nothing listens.

    Args:
        run: which run of the node this is.
        bell: descriptor that wakes the ingester.
        seconds: how long a receiver may take to answer what is under way when it is stopped.

    Raises:
        ConfigError: the port is taken or may not be used.
    """

    def __init__(self, settings: Settings, *, run: str, bell: int, seconds: float) -> None:
        self._settings = settings
        self._run = run
        self._bell = bell
        self._seconds = seconds
        self._lock = threading.Lock()
        self._listening = _bound(settings.dicom)
        self._ready = [threading.Event() for _ in range(settings.dicom.processes)]
        self._processes = [
            SupervisedProcess(
                NAME if settings.dicom.processes == 1 else f"{NAME} {partition + 1}",
                self._fork(partition),
                partial(self._spawn, partition),
                partial(self._heard, partition),
            )
            for partition in range(settings.dicom.processes)
        ]

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
        for one in self._processes:
            one.start()
            _say(one.process, GO)
        deadline = time.monotonic() + _START_SECONDS
        for one, ready in zip(self._processes, self._ready, strict=True):
            while not ready.wait(_LOOK_SECONDS):
                if one.deaths or time.monotonic() > deadline:
                    raise ConfigError("a receiver process does not start; the log says why")

    def allow(self, dicom: Dicom) -> None:
        """Pass changed peers and rules on."""
        with self._lock:
            self._settings = self._settings.model_copy(update={"dicom": dicom})
            for one in self._processes:
                _say(one.process, _encoded(dicom))

    def stop(self) -> None:
        """Accept no more, let what is under way be answered, and end."""
        self._listening.close()
        for one in self._processes:
            one.expect_end()
        with self._lock:
            processes = [one.process for one in self._processes]
        for process in processes:
            assert process.stdin is not None  # noqa: S101
            with suppress(OSError):
                process.stdin.close()
        deadline = time.monotonic() + self._seconds + _GRACE_SECONDS
        for one in self._processes:
            one.stop(max(0.1, deadline - time.monotonic()))

    def _said(self, partition: int) -> dict[str, Any]:
        return {
            # A receiver delivers nothing, and is not given the secrets of deliveries.
            "settings": self._settings.model_dump(mode="json", exclude={"deliver"}),
            "run": self._run,
            "partition": partition,
            "listening": self._listening.fileno(),
            "bell": self._bell,
            "seconds": self._seconds,
            "parent": os.getpid(),
        }

    def _fork(self, partition: int) -> ForkedProcess:
        """A receiver from the start: while this process has no other thread."""
        said = self._said(partition)
        keep = (self._listening.fileno(), self._bell)
        return ForkedProcess("rasnode-receive", lambda: receive(said), keep)

    def _spawn(self, partition: int) -> Process:
        """A receiver in the place of one that died."""
        with self._lock:
            process = interpreters.start(
                "node.daemon.receiving.process",
                self._said(partition),
                stdin=subprocess.PIPE,
                pass_fds=(self._listening.fileno(), self._bell),
            )
        _say(process, GO)
        return process

    def _heard(self, partition: int, line: bytes) -> None:
        said = line.decode("ascii", "replace").strip()
        if said == READY:
            self._ready[partition].set()
            if (one := self._processes[partition]).deaths:
                with self._lock:  # settings may have changed while it was being started
                    _say(one.process, _encoded(self._settings.dicom))
        else:
            metrics.count_line(said)


def _bound(dicom: Dicom) -> socket.socket:
    try:
        return listening.bound(dicom.host, dicom.port)
    except OSError as error:
        raise _taken(dicom, error) from error


def _taken(dicom: Dicom, error: OSError) -> ConfigError:
    return ConfigError(listening.refusal("DICOM", dicom.host, dicom.port, "dicom.port", error))


def _encoded(dicom: Dicom) -> bytes:
    return dicom.model_dump_json().encode() + b"\n"


def _say(process: Process, line: bytes) -> None:
    assert process.stdin is not None  # noqa: S101
    with suppress(OSError):  # it has died, and gets the settings when it is started again
        process.stdin.write(line)
        process.stdin.flush()
