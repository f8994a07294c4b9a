"""A receiver as a process of its own: a copy of the node's, or, in the place of one that died, a
new one, both started by `ReceiverSupervisor`.

What a sender waits for happens here and nowhere else, so that nothing that the node computes can
hold an answer back. It gets ready while its parent is still busy, and begins at the first line
of its stdin; each line after that has changed settings as JSON, and the end means stop.
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
"""How long a thread that computes keeps one waiting that has an answer due."""


def main() -> None:
    """Receive as `ReceiverSupervisor` says."""
    said = interpreters.read_input()
    configure_logging(said["settings"]["log"]["format"])
    receive(said)


def receive(said: dict[str, Any]) -> None:
    """Receive until stdin ends."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # its parent says when it is time
    settings = Settings.model_validate(said["settings"])
    sys.setswitchinterval(SWITCH_SECONDS)
    _die_with(int(said["parent"]))
    install_hooks()
    metrics.relay(_tell)
    bell = int(said["bell"])

    def ring() -> None:
        with suppress(BlockingIOError):
            os.write(bell, b"\0")

    with ExitStack() as undo:
        heard = undo.enter_context(os.fdopen(0, "rb", closefd=False))
        if heard.readline() != GO:
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
            run=said["run"],
            partition=int(said["partition"]),
            ring=ring,
            listening=socket.socket(fileno=int(said["listening"])),
        )
        gc.freeze()  # what is loaded stays: never looked through again while a sender waits
        receiver.start()
        undo.callback(receiver.stop, float(said["seconds"]))
        _tell(READY)
        os.set_blocking(1, False)
        Reporter().start()
        for line in heard:
            _allow(receiver, line)


def _allow(receiver: Receiver, line: bytes) -> None:
    """Take changed settings over; what cannot be read of them changes nothing."""
    try:
        receiver.allow(Dicom.model_validate_json(line))
    except Exception as error:  # noqa: BLE001  a receiver goes on with the settings it has
        log.error("changed settings were not taken over: %s", traced(error))


def _tell(said: str) -> None:
    with suppress(BlockingIOError, BrokenPipeError):  # a count is not worth waiting for
        os.write(1, f"{said}\n".encode())


def _die_with(parent: int) -> None:
    """Be killed when the parent is: the next run of the node must find the journal to itself."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit
