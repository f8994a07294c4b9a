"""The receiver processes on one port: started, supervised, reconfigured and stopped together."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from functools import partial
from typing import Any, Final

from node.core import metrics
from node.core.errors import ConfigError
from node.core.settings.model import Dicom, Settings
from node.core.supervision import Process, Program, SupervisedProcess
from node.core.system import listening
from node.daemon.receiving.process import GO, READY, receive

NAME: Final = "receiver"
_BACKLOG: Final = 1024
_START_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.2
_GRACE_SECONDS: Final = 3.0


class ReceiverSupervisor:
    """`dicom.processes` receivers. They are made at once, while the rest of the node is still being
    built, and serve from `start` on; until then the port is not open.

    Args:
        settings: the node's.
        run: identifies this run of the node.
        wakeup: descriptor; a byte written to it wakes the ingester.
        seconds: how long a receiver may let open C-STOREs answer when it is stopped.

    Raises:
        ConfigError: the port is in use or not allowed.
    """

    def __init__(self, settings: Settings, *, run: str, wakeup: int, seconds: float) -> None:
        self._settings = settings
        self._run = run
        self._wakeup = wakeup
        self._seconds = seconds
        self._lock = threading.Lock()
        self._listening = _bound(settings.dicom)
        self._ready = [threading.Event() for _ in range(settings.dicom.processes)]
        self._processes = [self._supervised(number) for number in range(settings.dicom.processes)]

    @property
    def port(self) -> int:
        """The DICOM port."""
        return int(self._listening.getsockname()[1])

    def start(self) -> None:
        """Open the port, and wait until every receiver accepts associations.

        Raises:
            ConfigError: a receiver cannot start; it has logged why.
        """
        try:
            self._listening.listen(_BACKLOG)
        except OSError as error:
            raise _refused(self._settings.dicom, error) from error
        for one in self._processes:
            one.start()
            one.send(GO)
        deadline = time.monotonic() + _START_SECONDS
        for one, ready in zip(self._processes, self._ready, strict=True):
            while not ready.wait(_POLL_SECONDS):
                if one.deaths or time.monotonic() > deadline:
                    raise ConfigError("a receiver process does not start; the log says why")

    def allow(self, dicom: Dicom) -> None:
        """Apply changed peers, rules and certificates in every receiver."""
        with self._lock:
            self._settings = self._settings.model_copy(update={"dicom": dicom})
            for one in self._processes:
                one.send(_encoded(dicom))

    def stop(self) -> None:
        """Accept no more associations, let open C-STOREs answer, and end the receivers."""
        self._listening.close()
        for one in self._processes:
            one.expect_end()
        with self._lock:
            for one in self._processes:
                one.close_input()
        deadline = time.monotonic() + self._seconds + _GRACE_SECONDS
        for one in self._processes:
            one.stop(max(0.1, deadline - time.monotonic()))

    def _supervised(self, number: int) -> SupervisedProcess:
        program = Program(
            title="rasnode-receive",
            task=receive,
            module="node.daemon.receiving.process",
            configuration=partial(self._configuration, number),
            keep=(self._listening.fileno(), self._wakeup),
        )
        return SupervisedProcess(
            NAME if self._settings.dicom.processes == 1 else f"{NAME} {number + 1}",
            program.fork(),
            partial(self._replace, program),
            partial(self._heard, number),
        )

    def _configuration(self, number: int) -> dict[str, Any]:
        return {
            # A receiver delivers nothing: it does not get the secrets of deliveries.
            "settings": self._settings.model_dump(mode="json", exclude={"deliver"}),
            "run": self._run,
            "partition": number,
            "listening": self._listening.fileno(),
            "wakeup": self._wakeup,
            "seconds": self._seconds,
            "parent": os.getpid(),
        }

    def _replace(self, program: Program) -> Process:
        """A receiver in the place of one that died."""
        with self._lock:
            process = program.spawn()
        assert process.stdin is not None  # noqa: S101  a new pipe
        with suppress(OSError):  # it has died already
            process.stdin.write(GO)
            process.stdin.flush()
        return process

    def _heard(self, number: int, line: bytes) -> None:
        text = line.decode("ascii", "replace").strip()
        if text == READY:
            self._ready[number].set()
            if (one := self._processes[number]).deaths:
                with self._lock:  # settings may have changed while it was being started
                    one.send(_encoded(self._settings.dicom))
        else:
            metrics.count_line(text)


def _bound(dicom: Dicom) -> socket.socket:
    try:
        return listening.bound(dicom.host, dicom.port)
    except OSError as error:
        raise _refused(dicom, error) from error


def _refused(dicom: Dicom, error: OSError) -> ConfigError:
    return ConfigError(listening.refusal("DICOM", dicom.host, dicom.port, "dicom.port", error))


def _encoded(dicom: Dicom) -> bytes:
    return dicom.model_dump_json().encode() + b"\n"
