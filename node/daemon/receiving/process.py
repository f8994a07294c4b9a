"""A receiver as a process of its own, started by `ReceiverSupervisor`.

It does all that a sender waits for, so that no computation of the node delays an answer. It serves
from the first line of its stdin on; each further line has changed settings as JSON, and the end of
stdin tells it to stop.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import signal
import socket
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

from node.core import metrics
from node.core.errors import traced
from node.core.logs import configure_logging
from node.core.settings.model import Dicom, Settings
from node.core.supervision import Reporter, install_hooks
from node.core.system import interpreters
from node.daemon.receiving.receiver import Receiver
from node.storage.archive import Archive
from node.storage.index.engine import Index
from node.storage.journal import Journal

log = logging.getLogger(__name__)

READY: Final = "ready"
GO: Final = b"go\n"
_PR_SET_PDEATHSIG: Final = 1  # prctl(2)
SWITCH_SECONDS: Final = 0.0005
"""How long a computing thread may keep the interpreter while another one has an answer to send."""


def main() -> None:
    """Receive with the configuration of `ReceiverSupervisor`."""
    configuration = interpreters.read_input()
    settings = configuration["settings"]
    configure_logging(settings["log"]["format"], Path(settings["storage"]["root"]))
    receive(configuration)


def receive(configuration: dict[str, Any]) -> None:
    """Receive until stdin ends.

    Args:
        configuration: `settings`, the `run` of the node, its `partition` of the journal, the
            descriptors `listening` and `wakeup`, `seconds` for stopping, and the `parent` process.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # its parent ends it by closing the pipe
    settings = Settings.model_validate(configuration["settings"])
    sys.setswitchinterval(SWITCH_SECONDS)
    _die_with(int(configuration["parent"]))
    install_hooks()
    metrics.relay(_report)
    wakeup = int(configuration["wakeup"])

    def wake_ingester() -> None:
        with suppress(BlockingIOError):  # the pipe is full: it will wake
            os.write(wakeup, b"\0")

    with ExitStack() as undo:
        commands = undo.enter_context(os.fdopen(0, "rb", closefd=False))
        if commands.readline() != GO:
            return
        index = Index(settings.database_url())
        undo.callback(index.close)
        journal = Journal(settings.storage.root)
        undo.callback(journal.close)
        receiver = Receiver(
            settings,
            Archive(settings.storage.root),
            index,
            journal,
            run=configuration["run"],
            partition=int(configuration["partition"]),
            wake_ingester=wake_ingester,
            listening=socket.socket(fileno=int(configuration["listening"])),
        )
        gc.freeze()  # collections need not look through what is loaded
        receiver.start()
        undo.callback(receiver.stop, float(configuration["seconds"]))
        _report(READY)
        os.set_blocking(1, False)
        Reporter().start()
        for line in commands:
            _allow(receiver, line)


def _allow(receiver: Receiver, line: bytes) -> None:
    """Apply changed settings; if they cannot be read, the receiver keeps those it has."""
    try:
        receiver.allow(Dicom.model_validate_json(line))
    except Exception as error:  # noqa: BLE001  the receiver goes on
        log.error(
            "a receiver cannot apply the changed settings and keeps the old ones: %s", traced(error)
        )


def _report(line: str) -> None:
    with suppress(BlockingIOError, BrokenPipeError):  # the parent is busy or gone: leave it out
        os.write(1, f"{line}\n".encode())


def _die_with(parent: int) -> None:
    """Be killed when the parent ends: the next run of the node must have the journal to itself."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit
